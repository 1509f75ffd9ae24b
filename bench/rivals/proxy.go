// A reverse proxy as a Go programmer would write it at first: a map of
// buckets under a mutex, which a ticker refills, in front of a round robin.
//
// Usage: proxy LISTEN BACKEND...
package main

import (
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	capacity = 1000000
	refill   = 10000 // tokens each tick
)

var (
	mutex   sync.Mutex
	buckets = map[string]int{}
	next    uint64
)

func admit(client string) bool {
	mutex.Lock()
	defer mutex.Unlock()

	tokens, known := buckets[client]
	if !known {
		tokens = capacity
	}
	if tokens < 1 {
		return false
	}
	buckets[client] = tokens - 1
	return true
}

func tick() {
	for range time.Tick(100 * time.Millisecond) {
		mutex.Lock()
		for client, tokens := range buckets {
			if tokens += refill; tokens > capacity {
				tokens = capacity
			}
			buckets[client] = tokens
		}
		mutex.Unlock()
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	backends := os.Args[2:]

	proxy := &httputil.ReverseProxy{
		Director: func(r *http.Request) {
			i := atomic.AddUint64(&next, 1)
			r.URL.Scheme = "http"
			r.URL.Host = backends[i%uint64(len(backends))]
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 100},
	}

	go tick()

	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		if !admit(client) {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		proxy.ServeHTTP(w, r)
	})

	if err := http.ListenAndServe(os.Args[1], nil); err != nil {
		panic(err)
	}
}
