package robustness

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestOutcomes: what each answer means for the history.
func TestOutcomes(t *testing.T) {
	set := Call{Item: Item{Routes, "10.0.0.0/24"}, Kind: Set, Slot: "192.0.2.1", Value: 1}
	remove := Call{Item: set.Item, Kind: Remove}
	get := Call{Item: set.Item, Kind: Get}
	local := Call{Item: set.Item, Kind: Get, Local: true}
	key := Call{Item: Item{Keys, "a/b%2F"}, Kind: Get}
	for _, test := range []struct {
		name    string
		call    Call
		code    int
		headers string
		body    string
		want    Outcome
	}{
		{"stored", set, 201, "", `{"revision":7}`, Done},
		{"stored, it does not say where", set, 201, "", `{}`, Wrong},
		{"no JSON", set, 201, "", `<html>`, Wrong},
		{"no quorum", set, 503, "Retry-After:2", `{"error":"no quorum"}`, Refused},
		{"no quorum, and when to ask again is not said", set, 503, "", `{"error":"no quorum"}`, Wrong},
		{"not known", set, 504, "", `{"id":"x"}`, Unknown},
		{"a precondition that nobody made", set, 412, "", `{}`, Wrong},
		{"a crash", set, 500, "", `{}`, Wrong},
		{"nothing to remove", remove, 404, "", `{}`, Failed},
		{"a change is not found", set, 404, "", `{}`, Wrong},
		{"absent", get, 404, "DVR-Position:log/1/7", `{}`, Done},
		{"absent in a state that may be old", get, 404, "DVR-Position:log/1/7|DVR-Stale:true", `{}`, Wrong},
		{"absent in the old state that was asked for", local, 404, "DVR-Position:log/1/7|DVR-Stale:true", `{}`, Done},
		{"a read", get, 200, `DVR-Position:log/1/7|ETag:"1-6-ab"`, `{"candidates":[{"next_hop":"192.0.2.1","metric":1}]}`, Done},
		{"a read without a version", get, 200, "DVR-Position:log/1/7", `{"candidates":[{"next_hop":"192.0.2.1","metric":1}]}`, Wrong},
		{"a read of nothing", get, 200, `DVR-Position:log/1/7|ETag:"1-6-ab"`, `{"candidates":[]}`, Wrong},
		{"a key", key, 200, `DVR-Position:log/1/7|ETag:"1-6-ab"`, `{"value":"5"}`, Done},
		{"a key with a value that nobody set", key, 200, `DVR-Position:log/1/7|ETag:"1-6-ab"`, `{"value":"x"}`, Wrong},
		{"a read that came too late", get, 504, "", `{}`, Refused},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if test.call.Space == Keys && r.URL.EscapedPath() != "/kv/a%2Fb%252F" {
				t.Errorf("asked for %s", r.URL.EscapedPath())
			}
			for h := range strings.SplitSeq(test.headers, "|") {
				if k, v, ok := strings.Cut(h, ":"); ok {
					w.Header().Set(k, v)
				}
			}
			w.WriteHeader(test.code)
			_, _ = w.Write([]byte(test.body))
		}))
		c := NewClient(NewRecorder(), time.Second, (&net.Dialer{}).DialContext)
		k := test.call
		c.Make(t.Context(), s.Listener.Addr().String(), &k)
		if k.Outcome != test.want || k.End < k.Begin {
			t.Errorf("%s: %s", test.name, &k)
		}
		c.Close()
		s.Close()
	}
}

// TestNothingSentIsARefusal, and something sent never is: not even where the
// transport tries again by itself and is turned away then.
func TestNothingSentIsARefusal(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int32
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if taken.Add(1) == 1 {
			_, _ = w.Write([]byte(`{"revision":7}`)) // the connection is kept for the next
			return
		}
		_ = l.Close()
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			c.Close()
		}
	})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	c := NewClient(NewRecorder(), time.Second, (&net.Dialer{}).DialContext)
	defer c.Close()
	for i, want := range []Outcome{Done, Unknown, Refused} {
		k := Call{Item: Item{Keys, "k"}, Kind: Remove, ID: "x"}
		c.Make(t.Context(), l.Addr().String(), &k)
		if k.Outcome != want {
			t.Errorf("call %d: %s", i, &k)
		}
	}
}

// TestOneAttemptOneAnswer: where a connection breaks under a change the transport
// does not send it again, not even with a key: the answer of a node that has
// just started would stand for what became of the first attempt.
func TestOneAttemptOneAnswer(t *testing.T) {
	var taken atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") != "x" {
			t.Error("no key")
		}
		switch taken.Add(1) {
		case 1:
			_, _ = w.Write([]byte(`{"revision":7}`)) // the connection is kept for the next
		case 2:
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				c.Close()
			}
		default:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"error":"the node is starting"}`))
		}
	}))
	defer s.Close()
	c := NewClient(NewRecorder(), time.Second, (&net.Dialer{}).DialContext)
	defer c.Close()
	for i, want := range []Outcome{Done, Unknown, Refused} {
		k := Call{Item: Item{Routes, "10.0.0.0/24"}, Kind: Remove, ID: "x"}
		c.Make(t.Context(), strings.TrimPrefix(s.URL, "http://"), &k)
		if k.Outcome != want || int(taken.Load()) != i+1 {
			t.Errorf("call %d: %s, %d attempts", i, &k, taken.Load())
		}
	}
}
