"use strict";
(() => {
  const { apis, labels, names, figures } = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const HEIGHT = 220;
  const SMALLEST = 0.00005; // seconds; stands for 0 on a logarithmic axis
  const WAYS = 4; // of failing that have a colour of their own
  const APIS = 12; // in one chart
  let along = figures.outputs.some((output) => output.by_time.length) ? "by_time" : "by_index";
  let drawn = [];

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });
  const percent = (value) => `${value >= 10 ? Math.round(value) : Number(value.toPrecision(2))}%`;
  const three = (value) => Number(value.toPrecision(3)).toString();

  function duration(seconds) {
    if (seconds <= SMALLEST) return "0";
    if (seconds < 1) return `${three(seconds * 1000)}ms`;
    if (seconds < 120) return `${three(seconds)}s`;
    return seconds < 7200 ? `${three(seconds / 60)}m` : `${three(seconds / 3600)}h`;
  }

  const orNothing = (show) => (value) => (value == null ? "–" : show(value));
  /** Return the extent of an axis of shares, which begins at 0 and ends at 100 % at most. */
  const shareRange = (_u, _low, high) => [0, Math.min(100, Math.max(1, 1.05 * (high ?? 1)))];

  /** Keep grid lines of a logarithmic axis at powers of ten, where its labels are. */
  const decades = (_, splits) =>
    splits.map((value) => (Number.isInteger(Number(Math.log10(value).toFixed(9))) ? value : null));
  /** Return the durations at which an axis has labels: 1, 2 and 5, or powers of ten if far apart. */
  function roundDurations(low, high) {
    const digits = high / low > 2000 ? [1] : [1, 2, 5];
    const found = [];
    for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++)
      for (const digit of digits) found.push(digit * 10 ** power);
    return found.filter((value) => low <= value && value <= high);
  }

  const own = (object, key) => (Object.hasOwn(object, key) ? object[key] : undefined);

  // --- what the charts show -------------------------------------------------------------------

  function stretchesOf(output) {
    return output[along].length ? output[along] : output.by_index;
  }

  /** Return the axis that runs along the run, for stretches of an output. */
  function alongTheRun(output) {
    const stretches = stretchesOf(output);
    const isTime = stretches === output.by_time;
    const range = stretches.length ? [stretches[0].start, stretches.at(-1).end] : [0, 1];
    const name = isTime ? "time" : "record";
    const isLong = range[1] - range[0] > 86400; // seconds, where it is time
    const clock = (value) => new Date(value * 1000)[isLong ? "toLocaleString" : "toLocaleTimeString"]();
    const show = isTime ? clock : (value) => number(Math.floor(value));
    return {
      stretches,
      name,
      show,
      scale: { time: isTime, range: () => range },
      axis: { space: isTime ? 100 : 70, values: (_, values) => values.map(isTime ? clock : number) },
    };
  }

  function latency(output, api) {
    const { stretches, ...x } = alongTheRun(output);
    const cells = stretches.map((each) => own(each.apis, api) ?? {});
    const line = (key, label, stroke, dash, width) => ({
      label,
      stroke,
      dash,
      width,
      show: orNothing(duration),
      data: cells.map((cell) => (cell[key] == null ? null : Math.max(cell[key], SMALLEST))),
    });
    return {
      x: { ...x, data: stretches.map((each) => (each.start + each.end) / 2) },
      y: { scale: { distr: 3, log: 10 }, show: duration, grid: { filter: decades } },
      series: [
        line("p50", "p50", "--c1", [], 2.5),
        line("p90", "p90", "--c3", [8, 4], 1.5),
        line("p99", "p99", "--c2", [2, 3], 1.5),
      ],
    };
  }

  /** Return shares of a stretch, one upon the other, each with the value that it has by itself. */
  function stacked(shares) {
    const sums = shares[0].data.map(() => 0);
    const series = shares.map(({ label, stroke, data }) => ({
      label,
      stroke,
      own: data,
      data: data.map((value, at) => (value == null ? null : (sums[at] += value))),
      show: orNothing(percent),
      bars: true,
    }));
    return { series: series.toReversed(), inWords: series }; // the highest is drawn first, below the others
  }

  function failures(output, api) {
    const { stretches, ...x } = alongTheRun(output);
    const cells = stretches.map((each) => own(each.apis, api) ?? { calls: 0, failures: {} });
    const totals = new Map();
    for (const cell of cells)
      for (const [label, count] of Object.entries(cell.failures))
        totals.set(label, (totals.get(label) ?? 0) + count);
    const labels = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a));
    const share = (count) =>
      cells.map((cell) => (cell.calls ? (100 * count(cell)) / cell.calls : null));
    const shown = labels.slice(0, WAYS);
    const rest = labels.slice(WAYS);
    const colours = ["--c2", "--c4", "--c5", "--c3"];
    const shares = shown.map((label, at) => ({
      label,
      stroke: colours[at],
      data: share((cell) => cell.failures[label] ?? 0),
    }));
    if (rest.length)
      shares.push({
        label: "other failures",
        stroke: "--c6",
        data: share((cell) => rest.reduce((sum, label) => sum + (cell.failures[label] ?? 0), 0)),
      });
    shares.push({
      label: "ok after retries",
      stroke: "--c1",
      data: share((cell) => cell.recovered ?? 0),
    });
    return {
      x: { ...x, data: stretches.map((each) => each.start) },
      y: { scale: { range: shareRange }, show: percent },
      ...stacked(shares),
    };
  }

  function records(output) {
    const { stretches, ...x } = alongTheRun(output);
    const data = stretches.map((each) => (each.records ? (100 * each.not_ok) / each.records : null));
    return {
      x: { ...x, data: stretches.map((each) => each.start) },
      y: { scale: { range: shareRange }, show: percent },
      ...stacked([{ label: "not ok", stroke: "--c2", data }]),
    };
  }

  function rate(output) {
    const before = along;
    along = "by_time";
    const { stretches, ...x } = alongTheRun(output);
    along = before;
    return {
      x: { ...x, data: stretches.map((each) => each.start) },
      y: { scale: { range: (_, low, high) => [0, (high ?? 1) * 1.05] }, show: number },
      series: [
        {
          label: "records per second",
          stroke: "--c1",
          bars: true,
          show: orNothing(number),
          data: stretches.map((each) => each.records / (each.end - each.start)),
        },
      ],
    };
  }

  function histogram(_, api) {
    const having = figures.outputs
      .map((output, at) => ({ at, found: own(output.apis, api) }))
      .filter(({ found }) => found && found.histogram.length);
    const edges = new Set();
    for (const { found } of having)
      for (const bar of found.histogram) edges.add(bar.start).add(bar.end);
    const xs = [...edges].sort((a, b) => a - b);
    const isShare = having.length > 1;
    const colours = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
    const series = having.map(({ at, found }) => {
      const total = found.histogram.reduce((sum, bar) => sum + bar.calls, 0);
      const calls = new Map(found.histogram.map((bar) => [bar.start, bar.calls]));
      const height = (value) => (isShare ? (100 * value) / total : value);
      return {
        label: isShare ? names[at] : "calls",
        stroke: colours[at % colours.length],
        dash: at ? [3 + 3 * at, 3] : [],
        width: 1.5,
        steps: true,
        show: orNothing(isShare ? percent : number),
        data: xs.map((x) => height(calls.get(x) ?? 0)),
      };
    });
    const data = xs.map((x) => Math.max(x, SMALLEST));
    const range = data.length ? [data[0], data.at(-1)] : [0.001, 1];
    return {
      x: {
        name: "took at least",
        data,
        show: duration,
        scale: { time: false, distr: 3, log: 10, range: () => range },
        axis: {
          splits: (_u, _axis, low, high) => roundDurations(low, high),
          filter: (_, values) => values,
          values: (_, values) => values.map(duration),
        },
      },
      y: { scale: { range: (_, low, high) => [0, (high ?? 1) * 1.05] }, show: isShare ? percent : number },
      series,
    };
  }

  /** Return a line for each API, of what a function makes of its calls in a stretch. */
  function eachApi(output, value, show, y) {
    const { stretches, ...x } = alongTheRun(output);
    const colours = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
    const series = apis
      .map((api, at) => ({ api, at }))
      .filter(({ api }) => own(output.apis, api))
      .slice(0, APIS)
      .map(({ api, at }) => ({
        label: labels[at],
        stroke: colours[at % colours.length],
        dash: at < colours.length ? [] : [6, 3],
        width: 1.5,
        show: orNothing(show),
        data: stretches.map((each) => {
          const cell = own(each.apis, api);
          return cell ? value(cell) : null;
        }),
      }));
    return { x: { ...x, data: stretches.map((each) => (each.start + each.end) / 2) }, y, series };
  }

  function latencies(output) {
    const p90 = (cell) => (cell.p90 == null ? null : Math.max(cell.p90, SMALLEST));
    return eachApi(output, p90, duration, {
      scale: { distr: 3, log: 10 },
      show: duration,
      grid: { filter: decades },
    });
  }

  function trouble(output) {
    const share = (cell) => (cell.calls ? (100 * (cell.not_ok + cell.recovered)) / cell.calls : null);
    return eachApi(output, share, percent, { scale: { range: shareRange }, show: percent });
  }

  const CHARTS = { latencies, trouble, latency, failures, records, rate, histogram };

  // --- drawing --------------------------------------------------------------------------------

  function seriesOf(each) {
    const stroke = colour(each.stroke);
    const made = {
      label: each.label,
      stroke,
      width: each.width ?? 1,
      dash: each.dash,
      points: { show: each.data.filter((value) => value != null).length < 3 && !each.bars },
      value: (u, value, at, index) =>
        each.show(index == null ? null : (each.own ?? each.data)[index]),
    };
    if (each.bars) Object.assign(made, { paths: uPlot.paths.bars({ size: [1, Infinity], align: 1 }), fill: stroke, width: 0 });
    if (each.steps) Object.assign(made, { paths: uPlot.paths.stepped({ align: 1 }), fill: `${stroke}33` });
    return made;
  }

  function options(chart, width) {
    const axis = ({ grid, ...more }) => ({
      stroke: colour("--soft"),
      grid: { stroke: colour("--rule"), width: 1, ...grid },
      ticks: { stroke: colour("--rule"), width: 1, ...grid },
      font: "12px system-ui, sans-serif",
      ...more,
    });
    const show = (_, values) => values.map((value) => (value == null ? "" : chart.y.show(value)));
    return {
      width,
      height: HEIGHT,
      scales: { x: chart.x.scale, y: chart.y.scale },
      axes: [axis({ space: 60, ...chart.x.axis }), axis({ size: 62, values: show, grid: chart.y.grid })],
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      legend: { live: false },
      series: [{ label: chart.x.name, value: (_, value) => orNothing(chart.x.show)(value) }].concat(
        chart.series.map(seriesOf),
      ),
    };
  }

  /** Say in words what the cursor is at. */
  function readOut(figure, chart, index) {
    const at = index == null ? null : chart.x.data[index];
    const parts = at == null ? [] : [`${chart.x.name} ${chart.x.show(at)}`];
    if (at != null)
      for (const each of chart.inWords ?? chart.series)
        parts.push(`${each.label} ${each.show((each.own ?? each.data)[index])}`);
    figure.querySelector(".readout").textContent = parts.join(" · ");
  }

  function draw(figure) {
    const plot = figure.querySelector(".plot");
    const output = figures.outputs[Math.max(0, Number(figure.dataset.output))];
    const chart = CHARTS[figure.dataset.chart](output, apis[Number(figure.dataset.api)]);
    plot.replaceChildren();
    figure.hidden = !chart.series.some((each) => each.data.some((value) => value != null));
    if (figure.hidden) return;
    const data = [chart.x.data, ...chart.series.map((each) => each.data)];
    const made = new uPlot(options(chart, plot.clientWidth || 300), data, plot);
    made.hooks.setCursor = [() => readOut(figure, chart, made.cursor.idx)];
    let at = -1;
    plot.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      const far = { Home: 0, End: chart.x.data.length - 1 }[event.key];
      if (step === undefined && far === undefined) return;
      event.preventDefault();
      at = Math.min(Math.max(far ?? at + step, 0), chart.x.data.length - 1);
      made.setCursor({ left: made.valToPos(chart.x.data[at], "x"), top: HEIGHT / 3 });
      readOut(figure, chart, at);
    };
    figure.dataset.points = chart.x.data.length;
    drawn.push({ made, plot });
  }

  function drawAll() {
    for (const { made } of drawn) made.destroy();
    drawn = [];
    document.querySelectorAll("figure.chart").forEach(draw);
    root.dataset.charts = drawn.length;
  }

  function fit() {
    for (const { made, plot } of drawn)
      if (plot.clientWidth && plot.clientWidth !== made.width)
        made.setSize({ width: plot.clientWidth, height: HEIGHT });
  }

  function chooseAlong() {
    const choice = document.getElementById("along");
    choice.hidden = !figures.outputs.some((output) => output.by_time.length);
    for (const input of choice.querySelectorAll("input")) {
      input.checked = input.value === along;
      input.onchange = () => {
        along = input.value;
        drawAll();
      };
    }
  }

  root.classList.add("scripted");
  chooseAlong();
  drawAll();
  new ResizeObserver(fit).observe(document.getElementById("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    drawAll();
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    drawAll();
  });
})();
