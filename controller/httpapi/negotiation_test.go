package httpapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAccept(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	const json, lines, none = "application/json", "application/x-ndjson", ""
	for accept, want := range map[string]string{
		"":                                         json,
		",":                                        json,
		"*/*":                                      json,
		"application/*":                            json,
		"application/json":                         json,
		"APPLICATION/JSON":                         json,
		"application/x-ndjson":                     lines,
		"Application/X-NDJSON":                     lines,
		"application/x-ndjson, */*":                lines,
		"*/*;q=0.5, application/x-ndjson":          lines,
		"application/json, application/x-ndjson":   lines,
		"application/x-ndjson;q=0":                 none,
		"application/x-ndjson;q=0, */*":            json,
		"application/x-ndjson;q=0.000, */*":        json,
		"application/x-ndjson;q=0.4, */*;q=0.5":    json,
		"application/x-ndjson;q=0.5, */*;q=0.4":    lines,
		"application/json;q=0, */*":                lines,
		"application/json;q=0, application/*;q=.1": lines,
		"application/*;q=0, */*":                   none,
		"*/*;q=0":                                  none,
		"text/*":                                   none,
		"text/html, */*;q=0.1":                     json,
		"application/x-ndjson;q=2":                 none,
		"application/x-ndjson;q=2, */*":            json,
		"banana":                                   none,
	} {
		r := httptest.NewRequest("GET", "/v1/routes", nil)
		r.Host = "127.0.0.1:9090"
		r.Header["Accept"] = []string{accept}
		w := httptest.NewRecorder()
		a.server.Handler().ServeHTTP(w, r)
		got := w.Header().Get("Content-Type")
		if want == none {
			if w.Code != 406 || got != "application/problem+json" {
				t.Errorf("%q: %d %s, want 406", accept, w.Code, got)
			}
		} else if w.Code != 200 || got != want {
			t.Errorf("%q: %d %s, want %s", accept, w.Code, got, want)
		}
	}
}

func TestContentEncoding(t *testing.T) {
	a := newAPI(t)
	var gz bytes.Buffer
	g := gzip.NewWriter(&gz)
	_, _ = io.WriteString(g, manyRoutes(3))
	_ = g.Close()
	const route = `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`
	for _, c := range []struct {
		target, body string
		values       []string
		code         int
	}{
		{"/v1/routes/import", gz.String(), []string{"GZIP"}, 200},
		{"/v1/routes/import", gz.String(), []string{"x-gzip"}, 200},
		{"/v1/routes/import", gz.String(), []string{"identity, gzip"}, 200},
		{"/v1/routes/import", gz.String(), []string{"identity", " Gzip "}, 200},
		{"/v1/routes/import", gz.String(), []string{"gzip", "zstd"}, 415},
		{"/v1/routes/import", gz.String(), []string{"gzip,gzip"}, 415},
		{"/v1/routes/import", manyRoutes(3), []string{"Identity"}, 200},
		{"/v1/routes/import", manyRoutes(3), []string{"identity", "br"}, 415},
		{"/routes", route, []string{"Identity"}, 201},
		{"/routes", route, []string{""}, 201},
		{"/routes", route, []string{"identity", "gzip"}, 415},
		{"/routes", route, []string{"GZIP"}, 415},
	} {
		r := httptest.NewRequest("POST", c.target, strings.NewReader(c.body))
		r.Host = "127.0.0.1:9090"
		r.Header = http.Header{"Content-Encoding": c.values}
		w := httptest.NewRecorder()
		before := a.revision()
		a.server.Handler().ServeHTTP(w, r)
		if w.Code != c.code || c.code == 415 && (a.revision() != before || !strings.Contains(w.Body.String(), `"field":"Content-Encoding"`)) {
			t.Errorf("%s %q: %d %s", c.target, c.values, w.Code, w.Body)
		}
	}
}
