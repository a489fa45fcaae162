package openapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

func get(s *Site, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	if !s.Serve(w, r) {
		return nil
	}
	return w
}

func TestSite(t *testing.T) {
	s := NewSite(Launcher)
	for path, kind := range map[string]string{
		"/openapi.yaml": "application/yaml; charset=utf-8", "/openapi.json": "application/json", "/docs": "text/html; charset=utf-8",
		"/docs.css": "text/css; charset=utf-8", "/docs.js": "text/javascript; charset=utf-8",
	} {
		plain := get(s, path)
		if plain == nil || plain.Code != 200 || plain.Header().Get("Content-Type") != kind || plain.Body.Len() == 0 {
			t.Fatalf("%s: %+v", path, plain)
		}
		if csp := plain.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		packed := get(s, path, "Accept-Encoding", "br, gzip;q=0.5")
		z, err := gzip.NewReader(packed.Body)
		if err != nil || packed.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %v %v", path, err, packed.Header())
		}
		if body, err := io.ReadAll(z); err != nil || !bytes.Equal(body, plain.Body.Bytes()) {
			t.Errorf("%s: packed it is another: %v", path, err)
		}
		for _, w := range []*httptest.ResponseRecorder{plain, packed} {
			tag := w.Header().Get("ETag")
			coding := w.Header().Get("Content-Encoding")
			if again := get(s, path, "If-None-Match", `"x", W/`+tag, "Accept-Encoding", coding); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
				t.Errorf("%s with its tag: %d", path, again.Code)
			}
		}
		if w := get(s, path, "Accept-Encoding", "gzip; q=0.0"); w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: gzip was refused and sent", path)
		}
	}
	for _, path := range []string{"/", "/docs/", "/openapi.yml", "/doc.go"} {
		if get(s, path) != nil {
			t.Errorf("%s is served", path)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if s.Serve(httptest.NewRecorder(), httptest.NewRequest(method, "/docs", nil)) {
			t.Errorf("%s is answered", method)
		}
	}
}

// TestPageLoadsNothingElse: the policy forbids it; the page must not try, nor
// have what the policy would stop.
func TestPageLoadsNothingElse(t *testing.T) {
	for name, text := range map[string][]byte{"html": pageHTML, "css": pageStyle, "js": pageScript} {
		for _, bad := range []string{`https?://`, `<script>`, `<style`, `\sstyle=`, `\son\w+="`, `innerHTML`, `insertAdjacentHTML`, `document\.write`, `eval\(`, `@import`, `\burl\("?[^"/]`, `\burl\("?/[^f]`} {
			if m := regexp.MustCompile(bad).Find(text); m != nil {
				t.Errorf("docs.%s has %q", name, m)
			}
		}
	}
	if size := len(pageHTML) + len(pageStyle) + len(pageScript); size > 32<<10 {
		t.Errorf("the page has %d bytes", size)
	}
}

func TestPageKnowsItsHost(t *testing.T) {
	for _, h := range []Host{Node, Launcher} {
		if body := get(NewSite(h), "/docs").Body.String(); !strings.Contains(body, `data-host="`+string(h)+`"`) {
			t.Errorf("%s: %s", h, body)
		}
	}
}

func TestToJSONRefuses(t *testing.T) {
	for _, text := range []string{"a: 1.5", "a: ~", "a: [", "a: 2026-11-22", "a: 99999999999999999999"} {
		if got, err := toJSON([]byte(text)); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
	got, err := toJSON([]byte("x-short: [&a {b: 16}]\nz: *a\ny: {x-short: true, q: \"\\n\"}\n"))
	if want := `{"z":{"b":16},"y":{"x-short":true,"q":"\n"}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestPageLooksLikeTheDashboard: its colours are the dashboard's, and so are its
// fonts, which the dashboard's build puts where the page looks for them.
func TestPageLooksLikeTheDashboard(t *testing.T) {
	app, err := os.ReadFile("../../dashboard/src/app.css")
	if err != nil {
		t.Fatal(err)
	}
	finish, err := os.ReadFile("../../dashboard/tools/finish.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`--(\w+): (light-dark\([^)]*\))`).FindAllStringSubmatch(string(pageStyle), -1) {
		if !strings.Contains(string(app), m[2]) {
			t.Errorf("--%s, %s, is no colour of the dashboard", m[1], m[2])
		}
	}
	fonts := regexp.MustCompile(`url\("/fonts/(\w+)\.woff2"\)`).FindAllStringSubmatch(string(pageStyle), -1)
	if len(fonts) != 2 || !strings.Contains(policy, "font-src 'self'") {
		t.Errorf("fonts %v, policy %s", fonts, policy)
	}
	for _, f := range fonts {
		if !strings.Contains(string(finish), "'"+f[1]+"'") {
			t.Errorf("the dashboard's build puts no %s.woff2", f[1])
		}
	}
}
