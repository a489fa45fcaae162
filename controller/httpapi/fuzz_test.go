package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dvr/controller/httpapi/openapi/openapitest"
	"dvr/eventlog"
)

// FuzzRouteBody: any bytes give a route that is well formed and that its own
// JSON gives again, or a field error.
func FuzzRouteBody(f *testing.F) {
	for _, s := range []string{
		`{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`, "{}", "", "[]", `{"destination":"::/0","tags":["b","a"]}`,
		`{"destination":"10.0.0.0/8","next_hop":"192.0.2.1","kind":"x"}`, "{ \n}", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"} x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decodeRoute(body)
		if err != nil {
			var fe *eventlog.FieldError
			if !errors.As(err, &fe) {
				t.Fatalf("%q: %v is no field error", body, err)
			}
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatalf("%q is accepted: %v", body, err)
		}
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatalf("%q is accepted and no JSON: %v", body, err)
		}
		if _, ok := m["kind"]; ok {
			t.Fatalf("%q has a kind", body)
		}
		line := eventlog.AppendEvent(nil, r)
		again, err := decodeRoute([]byte("{" + strings.TrimPrefix(string(line), `{"kind":"route.announced",`)))
		if err != nil || string(eventlog.AppendEvent(nil, again)) != string(line) {
			t.Fatalf("%q: %s does not come back: %v", body, line, err)
		}
	})
}

func FuzzCommitBody(f *testing.F) {
	f.Add([]byte(`{"events":[{"kind":"router.set","router":"r1"}],"id":"x","reason":"y"}`))
	f.Add([]byte(`{"events":[{"kind":"link.set","a":"r1","b":"r2"},{}]}`))
	f.Add([]byte(`{"events":[{"kind":"timer.set","name":"t","at":"2030-01-01T00:00:00.000Z","events":[{"kind":"router.removed","router":"r"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := decodeCommit(body)
		if err != nil {
			var fe *eventlog.FieldError
			if !errors.As(err, &fe) {
				t.Fatalf("%q: %v is no field error", body, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is accepted and no JSON", body)
		}
		for _, e := range b.events {
			if err := e.Validate(); err != nil {
				t.Fatalf("%q is accepted: %v", body, err)
			}
		}
	})
}

func FuzzCandidates(f *testing.F) {
	f.Add([]byte(`{"candidates":[{"next_hop":"192.0.2.1"}],"router":"r1"}`))
	f.Add([]byte(`{"next_hop":"192.0.2.1","destination":"10.1.0.0/16"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		router, routes, _, err := decodeCandidates(body, "10.1.0.0/16")
		if err != nil {
			return
		}
		for _, r := range routes {
			if r.Router != router || r.Destination.String() != "10.1.0.0/16" || r.Validate() != nil {
				t.Fatalf("%q gives %+v", body, r)
			}
		}
	})
}

// FuzzQuery: what the strict reader accepts, net/url reads alike.
func FuzzQuery(f *testing.F) {
	f.Add("wait=logged&timeout=1s")
	f.Add("require=r1%2Cr2&wait=installed")
	f.Add("min_revision=" + testLog + "/1/5&consistency=local")
	f.Add("cursor=abc;limit=5")
	names := []string{"wait", "timeout", "require", "reason", "consistency", "min_revision", "limit", "cursor", "router", "within", "next_hop"}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw, names)
		if err != nil {
			return
		}
		_, _ = q.timeout()
		_, _ = q.waitMode()
		_, _ = q.require()
		_, _ = q.read()
		_, _ = q.count("limit", 1, 10)
		_, _ = q.router("")
		_, _ = q.prefix("within")
		_, _ = q.addr("next_hop")
		want, err := url.ParseQuery(raw)
		if err != nil {
			return // a semicolon, which net/url refuses for all and we as a name
		}
		for i := range q.n {
			if got := want.Get(q.pairs[i].name); got != q.pairs[i].value {
				t.Fatalf("%q: %s is %q, url says %q", raw, q.pairs[i].name, q.pairs[i].value, got)
			}
		}
	})
}

// FuzzCalls sends any query, header and body to any call of the description: the
// answer is none of 500, and what is refused is a problem that says what is wrong.
func FuzzCalls(f *testing.F) {
	c, err := contract()
	if err != nil {
		f.Fatal(err)
	}
	var operations []*openapitest.Operation
	for _, op := range c.Operations() {
		if !strings.HasPrefix(op.Path, "/api/") {
			operations = append(operations, op)
		}
	}
	for i := range operations {
		f.Add(uint16(i), "", "application/json", `{}`)
		f.Add(uint16(i), "limit=-1&at=x&router=*&timeout=9", "application/x-ndjson", `[{"a":[[[[`)
	}
	for _, s := range every {
		for i, op := range operations {
			if op.Method == s.method && op.Path == strings.SplitN(s.target, "?", 2)[0] {
				f.Add(uint16(i), "", "application/json", s.body)
			}
		}
	}
	var a *api
	n := 0
	f.Fuzz(func(t *testing.T, which uint16, query, kind, body string) {
		if n++; n%500 == 1 { // what was stored is not to become much, nor authorization to stay
			if a != nil {
				_ = a.close()
			}
			a = openAPI(t)
		}
		op := operations[int(which)%len(operations)]
		target := op.Target()
		path, own, _ := strings.Cut(target, "?")
		r := httptest.NewRequest(op.Method, path, strings.NewReader(body))
		r.Host, r.URL.RawQuery = "127.0.0.1:9090", query
		if query == "" {
			r.URL.RawQuery = own
		}
		if !strings.Contains(query, "timeout=") {
			r.URL.RawQuery = strings.Trim(r.URL.RawQuery+"&timeout=1ms", "&")
		}
		r.Header.Set("Content-Type", kind)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		if cut := func() (cut bool) {
			defer func() {
				if p := recover(); p == http.ErrAbortHandler { // an answer had begun when the time ended
					cut = true
				} else if p != nil {
					panic(p)
				}
			}()
			a.server.Handler().ServeHTTP(w, r.WithContext(ctx))
			return false
		}(); cut {
			return
		}
		if w.Code == 500 || w.Code < 200 {
			t.Fatalf("%s %s?%s: %d %s", op.Method, path, r.URL.RawQuery, w.Code, w.Body)
		}
		if w.Code >= 400 {
			var p struct{ Type, Title, Detail string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Type == "" || p.Detail == "" || len(w.Body.Bytes()) > 16<<10 {
				t.Fatalf("%s %s?%s: %d %s", op.Method, path, r.URL.RawQuery, w.Code, w.Body)
			}
		}
	})
}
