package dashboard

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// sample is a site as the build leaves it.
func sample() fs.FS {
	return fstest.MapFS{
		"absent.html":                     {Data: []byte("absent")},
		"site/index.html":                 {Data: []byte("<!doctype html>index")},
		"site/index.html.br":              {Data: []byte("BR index")},
		"site/index.html.gz":              {Data: []byte("GZ index")},
		"site/favicon.svg":                {Data: []byte("<svg/>")},
		"site/_app/immutable/a.abc.js":    {Data: []byte("script")},
		"site/_app/immutable/a.abc.js.gz": {Data: []byte("GZ script")},
	}
}

func get(t *testing.T, s *Site, method, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	if !s.Serve(w, r) {
		return nil
	}
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestServe(t *testing.T) {
	s := newSite(Node, sample())
	for _, test := range []struct {
		target, accept             string
		kind, encoding, cache, has string
	}{
		{"/", "", "text/html; charset=utf-8", "", "no-cache", "<!doctype html>index"},
		{"/?x=1", "gzip, deflate, br", "text/html; charset=utf-8", "br", "no-cache", "BR index"},
		{"/", "br;q=0, gzip", "text/html; charset=utf-8", "gzip", "no-cache", "GZ index"},
		{"/", "BR;q=0.1,gzip;q=1", "text/html; charset=utf-8", "br", "no-cache", "BR index"},
		{"/", "zstd, *", "text/html; charset=utf-8", "", "no-cache", "<!doctype html>index"},
		{"/_app/immutable/a.abc.js", "br, gzip", "text/javascript; charset=utf-8", "gzip", "public, max-age=31536000, immutable", "GZ script"},
		{"/favicon.svg", "br, gzip", "image/svg+xml", "", "no-cache", "<svg/>"},
		{"/dashboard.json", "br", "application/json", "", "no-cache", "{\"host\":\"node\"}\n"},
	} {
		r := get(t, s, "GET", test.target, "Accept-Encoding: "+test.accept)
		if r == nil {
			t.Errorf("%s is not served", test.target)
			continue
		}
		h := r.Header
		if r.StatusCode != 200 || h.Get("Content-Type") != test.kind || h.Get("Content-Encoding") != test.encoding || h.Get("Cache-Control") != test.cache {
			t.Errorf("%s, %q: %d %v", test.target, test.accept, r.StatusCode, h)
		}
		if got := body(t, r); got != test.has {
			t.Errorf("%s, %q: %q", test.target, test.accept, got)
		}
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", test.target, csp)
		}
		head := get(t, s, "HEAD", test.target, "Accept-Encoding: "+test.accept)
		if head.Header.Get("Content-Length") != h.Get("Content-Length") || body(t, head) != "" {
			t.Errorf("HEAD %s: %v", test.target, head.Header)
		}
		again := get(t, s, "GET", test.target, "Accept-Encoding: "+test.accept, "If-None-Match: W/"+h.Get("Etag"))
		if again.StatusCode != http.StatusNotModified || body(t, again) != "" {
			t.Errorf("%s again: %d", test.target, again.StatusCode)
		}
		if other := get(t, s, "GET", test.target, "If-None-Match: \"other\""); other.StatusCode != 200 {
			t.Errorf("%s after a change: %d", test.target, other.StatusCode)
		}
	}
}

// Forms of one file are told apart, or a cache would mix them up.
func TestTagsTellFormsApart(t *testing.T) {
	s := newSite(Node, sample())
	seen := map[string]bool{}
	for _, accept := range []string{"br", "gzip", ""} {
		r := get(t, s, "GET", "/", "Accept-Encoding: "+accept)
		if r.Header.Get("Vary") != "Accept-Encoding" || seen[r.Header.Get("Etag")] {
			t.Errorf("%q: %v", accept, r.Header)
		}
		seen[r.Header.Get("Etag")] = true
	}
}

func TestOthersAreLeftToTheAPI(t *testing.T) {
	s := newSite(Launcher, sample())
	for _, target := range []string{"/routes", "/v1/status", "/_app/immutable/missing.js", "/index.html.br", "/..", "//", "/site/index.html", "/absent.html"} {
		if get(t, s, "GET", target) != nil {
			t.Errorf("%s is served", target)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if get(t, s, method, "/") != nil {
			t.Errorf("%s / is served", method)
		}
	}
}

func TestWithoutTheDashboard(t *testing.T) {
	s := newSite(Node, fstest.MapFS{"absent.html": {Data: []byte("make dashboard")}})
	r := get(t, s, "GET", "/", "Accept-Encoding: br")
	if s.Built() || r.StatusCode != http.StatusNotFound || body(t, r) != "make dashboard" || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if get(t, s, "GET", "/index.html") != nil {
		t.Error("/index.html is served")
	}
}

// TestEmbedded looks at what is in this very build.
func TestEmbedded(t *testing.T) {
	s := New(Node)
	if !s.Built() {
		if r := get(t, s, "GET", "/"); !strings.Contains(body(t, r), "make dashboard") {
			t.Error("the placeholder does not say where the dashboard is")
		}
		t.Skip("the dashboard is not built: make dashboard")
	}
	page := string(s.files["/"].forms[""])
	if m := regexp.MustCompile(`<script[^>]*>[^<]+</script>|<style|\sstyle=|\son[a-z]+=`).FindString(page); m != "" {
		t.Errorf("the policy forbids %q", m)
	}
	if m := regexp.MustCompile(`(src|href)="(https?:)?//[^"]*"`).FindString(page); m != "" {
		t.Errorf("the page loads %q from elsewhere", m)
	}
	for name, f := range s.files {
		if strings.HasSuffix(name, ".js") && (f.forms["br"] == nil || f.forms["gzip"] == nil) {
			t.Errorf("%s is not compressed", name)
		}
	}
	first := 0 // what the page itself names is loaded first
	for _, m := range regexp.MustCompile(`<(?:link|script)[^>]*(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		f := s.files[m[1]]
		if f == nil {
			t.Errorf("%s is missing", m[1])
			continue
		}
		first += len(f.forms[f.choose("br")])
	}
	if first > 150_000 {
		t.Errorf("the first load is %d bytes", first)
	}
}
