// node with undici: a pool of connections for each API, and as many workers as connections.
//
//     node benchmarks/rivals/undici_pools.cjs [--limit N] RECORDS URL...
//
// undici comes with `npm install --prefix benchmarks/rivals --no-save undici`.
"use strict";

const { readFileSync } = require("node:fs");
const { parseArgs } = require("node:util");
const { Pool } = require("undici");

async function post(pool, path, record) {
  const response = await pool.request({
    path,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(record),
  });
  return { status: response.statusCode, body: await response.body.json() };
}

async function callAll(url, records, limit) {
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections: limit, pipelining: 1 });
  const outcomes = new Array(records.length);
  let next = 0;
  async function work() {
    while (next < records.length) {
      const index = next++;
      outcomes[index] = await post(pool, pathname, records[index]);
    }
  }
  await Promise.all(Array.from({ length: limit }, work));
  await pool.close();
  return outcomes;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { limit: { type: "string", default: "64" } },
  });
  const [path, ...urls] = positionals;
  const records = readFileSync(path, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  const columns = await Promise.all(urls.map((url) => callAll(url, records, Number(values.limit))));
  let lines = [];
  for (let index = 0; index < records.length; index++) {
    const results = Object.fromEntries(columns.map((column, i) => ["abc"[i], column[index]]));
    lines.push(JSON.stringify({ index, record: records[index], results }));
    if (lines.length === 1000) {
      process.stdout.write(lines.join("\n") + "\n");
      lines = [];
    }
  }
  if (lines.length) process.stdout.write(lines.join("\n") + "\n");
}

main();
