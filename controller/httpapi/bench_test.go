package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkPostRoute is the hot path without sockets and without etcd.
func BenchmarkPostRoute(b *testing.B) { postRoute(b, newAPI(b), "") }

// BenchmarkPostRouteAuthorized is the same by who has a token and a scope.
func BenchmarkPostRouteAuthorized(b *testing.B) {
	a, k := enforced(b)
	postRoute(b, a, "Bearer "+k["ned"])
}

func postRoute(b *testing.B, a *api, authorization string) {
	body := []byte(`{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`)
	h := a.server.Handler()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest("POST", "/routes?wait=logged", nil)
		r.Host = "127.0.0.1:9090"
		r.Header.Set("Content-Type", "application/json")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		r.ContentLength = int64(len(body))
		reader := bytes.NewReader(body)
		r.Body = io.NopCloser(reader)
		w := &discard{http.Header{}}
		for pb.Next() {
			reader.Reset(body)
			h.ServeHTTP(w, r)
		}
	})
}

// BenchmarkImport is an import of 60,000 lines with everything but sockets and etcd.
func BenchmarkImport(b *testing.B) {
	text := []byte(manyRoutes(60000))
	b.SetBytes(60000) // "MB/s" is million lines a second
	for b.Loop() {
		a := newAPI(b)
		if r := a.importLines("/v1/routes/import?wait=projected", string(text)); r.Code != 200 {
			b.Fatal(r.Body)
		}
	}
}
