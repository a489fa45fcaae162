package httpapi

import (
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func TestHosts(t *testing.T) {
	a := newAPI(t)
	for host, ok := range map[string]bool{
		"127.0.0.1:9090": true, "127.0.0.1": true, "127.8.8.8:1": true, "localhost:9090": true, "LOCALHOST": true, "localhost.": true,
		"[::1]:9090": true, "[::1]": true, "r1.example:9090": true, "R1.example": true, "192.0.2.7:80": true,
		"evil.example": false, "evil.example:9090": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
		"192.0.2.8": false, "0.0.0.0": false, "": false, "[::2]:9090": false, "[::ffff:127.0.0.1]:9090": true,
	} {
		before := a.revision()
		for _, r := range []answer{
			a.do("GET", "/routes", "", "Host: "+host),
			a.do("POST", "/routes", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`, "Host: "+host),
		} {
			if ok != (r.Code/100 == 2) || !ok && (r.Code != 403 || !strings.Contains(r.Body, "foreign host")) {
				t.Errorf("Host %q: %d %s", host, r.Code, r.Body)
			}
		}
		if ok != (a.revision() == before+1) {
			t.Errorf("Host %q: revision %d then %d", host, before, a.revision())
		}
	}
	if r := a.do("GET", "/nothing", "", "Host: evil.example"); r.Code != 403 {
		t.Errorf("an unknown path of a foreign host: %d", r.Code)
	}
	if r := a.do("OPTIONS", "/routes", "", "Host: evil.example"); r.Code != 403 || r.Header.Get("Allow") != "" {
		t.Errorf("OPTIONS of a foreign host: %d %v", r.Code, r.Header)
	}
	if r := a.do("OPTIONS", "/routes", ""); r.Code != 204 || r.Header.Get("Allow") == "" || r.Header.Get("DVR-Position") == "" {
		t.Errorf("OPTIONS: %d %v", r.Code, r.Header)
	}
}

func TestCrossSite(t *testing.T) {
	a := newAPI(t)
	for header, ok := range map[string]bool{
		"Origin: http://127.0.0.1:9090": true, "Origin: http://localhost:9090": false, "Origin: http://evil.example": false, "Origin: null": false,
		"Sec-Fetch-Site: same-origin": true, "Sec-Fetch-Site: none": true, "Sec-Fetch-Site: cross-site": false, "Sec-Fetch-Site: same-site": false,
	} {
		before := a.revision()
		r := a.do("POST", "/routes", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`, header)
		name, _, _ := strings.Cut(header, ":")
		if ok != (r.Code == 201) || !ok && (r.Code != 403 || r.json(t)["field"] != name) || ok != (a.revision() == before+1) {
			t.Errorf("%s: %d %s", header, r.Code, r.Body)
		}
	}
}

func TestPanicIsA500(t *testing.T) {
	a := newAPI(t)
	a.server.add("GET", "/boom", func(echo.Context) error { panic("boom") })
	r := a.do("GET", "/boom", "")
	if r.Code != 500 || strings.Contains(r.Body, "boom\"") && !strings.Contains(r.Body, "/boom") || r.json(t)["error"] == "" {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	if r := a.do("GET", "/health", ""); r.Code != 200 {
		t.Errorf("afterwards: %d", r.Code)
	}
}
