package gate

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Errors of Admit.
var (
	ErrForeignHost = errors.New("foreign host")
	ErrCrossSite   = errors.New("cross-site request")
)

// CrossSiteError is an ErrCrossSite with the header that tells.
type CrossSiteError struct{ Header, Value string }

func (e *CrossSiteError) Error() string {
	return fmt.Sprintf("%v: %s is %q", ErrCrossSite, e.Header, e.Value)
}

// Unwrap is ErrCrossSite.
func (e *CrossSiteError) Unwrap() error { return ErrCrossSite }

// Hosts are the names that a listener answers to. It is immutable and safe for
// concurrent use.
type Hosts struct {
	names  map[string]struct{} // lower case, without final dot
	remedy string
}

// NewHosts is loopback and the names, each without port. remedy tells the
// caller of a refused request what to do; it ends the error.
func NewHosts(remedy string, names ...string) *Hosts {
	h := &Hosts{names: map[string]struct{}{}, remedy: remedy}
	for _, n := range append([]string{"localhost", "127.0.0.1", "::1"}, names...) {
		h.names[strings.ToLower(strings.TrimSuffix(n, "."))] = struct{}{}
	}
	return h
}

// Admit is nil for a request that is addressed to one of the names and does
// not come from another site, else ErrForeignHost or ErrCrossSite. It allocates
// nothing for the usual request.
func (h *Hosts) Admit(r *http.Request) error {
	if err := h.AdmitHost(r); err != nil {
		return err
	}
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 && site[0] != "same-origin" && site[0] != "none" {
		return &CrossSiteError{"Sec-Fetch-Site", site[0]}
	}
	if origin := r.Header["Origin"]; len(origin) > 0 {
		_, host, ok := strings.Cut(origin[0], "://")
		if !ok || !strings.EqualFold(host, r.Host) {
			return &CrossSiteError{"Origin", origin[0]}
		}
	}
	return nil
}

// AdmitHost is the first half of Admit. It is enough for files that are the
// same for everybody, such as the dashboard's: a link to them works from
// everywhere.
func (h *Hosts) AdmitHost(r *http.Request) error {
	host := r.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, ok := h.names[host]; !ok && !h.otherSpelling(host) {
		return fmt.Errorf("%w %q: %s", ErrForeignHost, r.Host, h.remedy)
	}
	return nil
}

// otherSpelling is the slow part: capitals, a final dot, any loopback address.
func (h *Hosts) otherSpelling(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, ok := h.names[host]; ok {
		return true
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return false
	}
	if _, ok := h.names[ip.String()]; ok {
		return true
	}
	return ip.IsLoopback()
}
