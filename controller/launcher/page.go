package launcher

import (
	_ "embed"
	"net/http"
)

// The page at / of a program that was built without the dashboard.
var (
	//go:embed page/index.html
	pageHTML []byte
	//go:embed page/launcher.css
	pageStyle []byte
	//go:embed page/launcher.js
	pageScript []byte
)

// pagePolicy lets the page load and reach nothing but the launcher.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func pages() map[string]func(http.ResponseWriter, *http.Request) error {
	static := func(kind string, content []byte) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Security-Policy", pagePolicy)
			w.WriteHeader(http.StatusOK)
			if r.Method != http.MethodHead {
				_, _ = w.Write(content)
			}
			return nil
		}
	}
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"/{$}":          static("text/html; charset=utf-8", pageHTML),
		"/launcher.css": static("text/css; charset=utf-8", pageStyle),
		"/launcher.js":  static("text/javascript; charset=utf-8", pageScript),
	}
}
