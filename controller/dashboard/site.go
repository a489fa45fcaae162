package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// Host is who serves the page: it decides what the page offers.
type Host string

// Hosts.
const (
	Node     Host = "node"     // the API is beside the page
	Launcher Host = "launcher" // the control API is, and each node's API under /api/node/<id>/
)

// hostPath tells the page its Host.
const hostPath = "/dashboard.json"

// policy lets the page load and reach nothing but its own listener, and run no
// inline script or style.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; worker-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Site is the files of the dashboard by path. It is immutable and safe for
// concurrent use.
type Site struct {
	files map[string]*file
	built bool
}

// file is one file in the forms in which it can be sent.
type file struct {
	kind  string
	cache string
	etag  string // of the plain form; the others add their encoding
	forms map[string][]byte
}

// New makes the site of the embedded files. Cost: hashing some 500 kB.
func New(h Host) *Site {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // cannot be: the name is well formed
	}
	return newSite(h, root)
}

func newSite(h Host, root fs.FS) *Site {
	s := &Site{files: map[string]*file{}}
	_ = fs.WalkDir(root, "site", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // without dist/site there is nothing to walk
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return nil
		}
		s.put("/"+strings.TrimPrefix(name, "site/"), body)
		return nil
	})
	index := s.files["/index.html"]
	if s.built = index != nil; s.built {
		s.files["/"] = index
	} else {
		body, _ := fs.ReadFile(root, "absent.html")
		s.put("/absent.html", body)
		s.files = map[string]*file{"/": s.files["/absent.html"]}
	}
	s.put(hostPath, fmt.Appendf(nil, "{\"host\":%q}\n", h))
	return s
}

// put files one form of a file.
func (s *Site) put(name string, body []byte) {
	encoding := ""
	switch path.Ext(name) {
	case ".br":
		encoding = "br"
	case ".gz":
		encoding = "gzip"
	}
	if encoding != "" {
		name = strings.TrimSuffix(name, path.Ext(name))
	}
	f := s.files[name]
	if f == nil {
		f = &file{kind: kindOf(name), cache: "no-cache", forms: map[string][]byte{}}
		if strings.HasPrefix(name, "/_app/immutable/") { // the name has the content's hash
			f.cache = "public, max-age=31536000, immutable"
		}
		s.files[name] = f
	}
	f.forms[encoding] = body
	if encoding == "" {
		sum := sha256.Sum256(body)
		f.etag = base64.RawURLEncoding.EncodeToString(sum[:12])
	}
}

// kindOf does not depend on the tables of the machine for what the site has.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".woff2":
		return "font/woff2"
	case ".json":
		return "application/json"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// Built reports whether the dashboard itself is in this program.
func (s *Site) Built() bool { return s.built }

// Serve answers a GET or HEAD of one of the site's files and reports whether
// the request was one. Who is admitted is the caller's to decide beforehand.
func (s *Site) Serve(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	f := s.files[r.URL.Path]
	if f == nil {
		return false
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", f.cache)
	encoding := f.choose(r.Header.Get("Accept-Encoding"))
	tag := `"` + f.etag + `"`
	if len(f.forms) > 1 {
		h.Set("Vary", "Accept-Encoding")
		if encoding != "" {
			tag = `"` + f.etag + "-" + encoding + `"`
			h.Set("Content-Encoding", encoding)
		}
	}
	h.Set("Etag", tag)
	for have := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if have = strings.TrimPrefix(strings.TrimSpace(have), "W/"); have == tag || have == "*" {
			h.Del("Content-Encoding")
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	h.Set("Content-Type", f.kind)
	body := f.forms[encoding]
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if !s.built && r.URL.Path == "/" {
		w.WriteHeader(http.StatusNotFound)
	} else {
		w.WriteHeader(http.StatusOK)
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
	return true
}

// choose finds the best form that the client takes: brotli, gzip, plain. A
// coding with q=0 is refused; other qualities do not matter, the smaller wins.
func (f *file) choose(accept string) string {
	best := ""
	for part := range strings.SplitSeq(accept, ",") {
		coding, parameter, _ := strings.Cut(part, ";")
		coding = strings.ToLower(strings.TrimSpace(coding))
		if f.forms[coding] == nil || coding == "" || refused(parameter) {
			continue
		}
		if best == "" || coding == "br" {
			best = coding
		}
	}
	return best
}

func refused(parameter string) bool {
	v, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(parameter), " ", ""), "q=")
	q, err := strconv.ParseFloat(v, 64)
	return ok && err == nil && q == 0
}
