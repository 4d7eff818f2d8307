// Go's net/http: a worker for each slot, time limits, a bounded window, and lines in input order.
//
//	go build -o net_http benchmarks/rivals/net_http.go
//	./net_http [-limit N] RECORDS URL...
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	window  = 1024 // records that are read and not yet written
	timeout = 30 * time.Second
)

type outcome struct {
	status int
	body   []byte
}

type record struct {
	line     []byte
	outcomes []outcome
	pending  sync.WaitGroup
}

func call(client *http.Client, url string, line []byte) (outcome, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(line))
	if err != nil {
		return outcome{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return outcome{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return outcome{response.StatusCode, body}, err
}

func work(client *http.Client, url string, api int, queue <-chan *record) {
	for r := range queue {
		found, err := call(client, url, r.line)
		if err != nil {
			log.Fatal(err)
		}
		if !json.Valid(found.body) {
			log.Fatalf("not JSON: %q", found.body)
		}
		r.outcomes[api] = found
		r.pending.Done()
	}
}

// read admits records while the window has room, and closes the queues at the end of the input.
func read(file io.Reader, written chan<- *record, queues []chan *record) {
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r := &record{line: append([]byte(nil), lines.Bytes()...), outcomes: make([]outcome, len(queues))}
		if !json.Valid(r.line) {
			log.Fatalf("not JSON: %q", r.line)
		}
		r.pending.Add(len(queues))
		written <- r
		for _, queue := range queues {
			queue <- r
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	close(written)
	for _, queue := range queues {
		close(queue)
	}
}

func write(out *bufio.Writer, index int, r *record) {
	out.WriteString(`{"index":` + strconv.Itoa(index) + `,"record":`)
	out.Write(r.line)
	out.WriteString(`,"results":{`)
	for api, found := range r.outcomes {
		if api > 0 {
			out.WriteByte(',')
		}
		out.WriteString(`"` + string(rune('a'+api)) + `":{"status":` + strconv.Itoa(found.status) + `,"body":`)
		out.Write(found.body)
		out.WriteByte('}')
	}
	out.WriteString("}}\n")
}

func main() {
	limit := flag.Int("limit", 64, "requests in flight for each API")
	flag.Parse()
	file, err := os.Open(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	urls := flag.Args()[1:]
	written := make(chan *record, window)
	queues := make([]chan *record, len(urls))
	for api, url := range urls {
		queues[api] = make(chan *record, window)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *limit}}
		for slot := 0; slot < *limit; slot++ {
			go work(client, url, api, queues[api])
		}
	}
	go read(file, written, queues)
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	index := 0
	for r := range written {
		r.pending.Wait()
		write(out, index, r)
		index++
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}
