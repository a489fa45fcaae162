package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Host is who serves the page: it decides which calls the page can try.
type Host string

// Hosts.
const (
	Node     Host = "node"     // its own API
	Launcher Host = "launcher" // the control API, and each node's API under /api/node/<id>/
)

var (
	//go:embed page/docs.html
	pageHTML []byte
	//go:embed page/docs.css
	pageStyle []byte
	//go:embed page/docs.js
	pageScript []byte
)

// policy lets the page load and reach nothing but its own listener, and run no
// inline script or style.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Site is the document and its page by path. It is safe for concurrent use.
type Site struct{ files map[string]func() *file }

type file struct {
	kind         string
	body, packed []byte
	etag         string // of the plain form; the packed one adds a letter
}

// NewSite makes the site. Its files are made when they are asked for the first
// time: most processes never are.
func NewSite(h Host) *Site {
	s := &Site{files: map[string]func() *file{}}
	for path, f := range map[string]struct {
		kind string
		body func() []byte
	}{
		"/openapi.yaml": {"application/yaml; charset=utf-8", YAML},
		"/openapi.json": {"application/json", JSON},
		"/docs":         {"text/html; charset=utf-8", func() []byte { return bytes.Replace(pageHTML, []byte("HOST"), []byte(h), 1) }},
		"/docs.css":     {"text/css; charset=utf-8", func() []byte { return pageStyle }},
		"/docs.js":      {"text/javascript; charset=utf-8", func() []byte { return pageScript }},
	} {
		s.files[path] = sync.OnceValue(func() *file { return newFile(f.kind, f.body()) })
	}
	return s
}

func newFile(kind string, body []byte) *file {
	sum := sha256.Sum256(body)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // into memory
	_ = z.Close()
	return &file{kind: kind, body: body, packed: b.Bytes(), etag: base64.RawURLEncoding.EncodeToString(sum[:12])}
}

// Serve answers a GET or HEAD of one of the site's files and reports whether
// the request was one. Who is admitted is the caller's to decide beforehand.
func (s *Site) Serve(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	made := s.files[r.URL.Path]
	if made == nil {
		return false
	}
	f := made()
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	body, tag := f.body, `"`+f.etag+`"`
	packed := takesGzip(r.Header.Get("Accept-Encoding"))
	if packed {
		body, tag = f.packed, `"`+f.etag+`z"`
	}
	h.Set("Etag", tag)
	if slices.ContainsFunc(strings.Split(r.Header.Get("If-None-Match"), ","), func(have string) bool {
		return strings.TrimPrefix(strings.TrimSpace(have), "W/") == tag
	}) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	if packed {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
	return true
}

// takesGzip: browsers and tools name it without a quality, or refuse with q=0.
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, parameter, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, given := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(parameter), " ", ""), "q=")
			return !given || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
