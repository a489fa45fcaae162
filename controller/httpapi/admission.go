package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"strings"
)

// hosts are the names and addresses that requests may be addressed to beside
// loopback, as they come in the Host header, lower case.
type hosts map[string]struct{}

func newHosts(more []string) hosts {
	h := hosts{}
	for _, v := range append([]string{"localhost", "127.0.0.1", "::1"}, more...) {
		h[strings.ToLower(strings.TrimSuffix(v, "."))] = struct{}{}
	}
	return h
}

// admit refuses requests for a foreign host and those of foreign sites.
func (h hosts) admit(r *http.Request) error {
	host := r.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, ok := h[host]; !ok && !h.known(host) {
		return fmt.Errorf("%w %q: this node answers to loopback and its advertised names; set API_ADVERTISE to be reached by another", errForeignHost, r.Host)
	}
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 && site[0] != "same-origin" && site[0] != "none" {
		return fmt.Errorf("%w: Sec-Fetch-Site is %q", errCrossSite, site[0])
	}
	if origin := r.Header["Origin"]; len(origin) > 0 {
		_, host, ok := strings.Cut(origin[0], "://")
		if !ok || !strings.EqualFold(host, r.Host) {
			return fmt.Errorf("%w: Origin is %q", errCrossSite, origin[0])
		}
	}
	return nil
}

// known is the slow part of admit: another spelling, any loopback address.
func (h hosts) known(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, ok := h[host]; ok {
		return true
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return false
	}
	if _, ok := h[ip.String()]; ok {
		return true
	}
	return ip.IsLoopback()
}
