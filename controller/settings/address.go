package settings

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Seed ports and the distances of the derived ones.
const (
	fibAfterAPI    = 100
	baseRaftPort   = 8300
	baseClientPort = 2379
)

var hostName = regexp.MustCompile(`^(?i)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?$`)

// splitHostPort checks form only; an empty host stays empty. A port below least is refused.
func splitHostPort(v string, least int) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(v)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port", v)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 || p != strconv.Itoa(port) {
		return "", 0, fmt.Errorf("%q: the port is not a number up to 65535", v)
	}
	if port < least {
		return "", 0, fmt.Errorf("%q: port 0 cannot be used here; name a port", v)
	}
	if host == "" {
		return "", port, nil
	}
	if strings.Trim(host, "0123456789.") == "" || strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, fmt.Errorf("%q: %q is not an IP address", v, host)
		}
		return host, port, nil
	}
	if len(host) > 253 || !hostName.MatchString(host) {
		return "", 0, fmt.Errorf("%q: %q is neither a host name nor an IP address", v, host)
	}
	return host, port, nil
}

// IsLoopback reports whether a host can only be this machine. A name other
// than localhost is not known to be: nothing is resolved.
func IsLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func isUnspecified(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsUnspecified()
}

// normalize checks one listener and completes its two addresses. derive gives
// the listen address when none is set.
func (s *Settings) normalize(name string, a *Address, least int, derive func() (string, error)) error {
	listen, advertise := name+"_ADDR", name+"_ADVERTISE"
	if a.Listen == "" {
		v, err := derive()
		if err != nil {
			return &Error{listen, s.Origin(listen), err.Error()}
		}
		a.Listen = v
		s.origins[listen] = OriginDerived
	}
	host, port, err := splitHostPort(a.Listen, least)
	if err != nil {
		return &Error{listen, s.Origin(listen), err.Error()}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	a.Listen = net.JoinHostPort(host, strconv.Itoa(port))
	if !IsLoopback(host) && !s.Insecure && s.TLS.None() {
		return &Error{listen, s.Origin(listen), fmt.Sprintf("%s reaches beyond this machine: listen there in TLS, with CA_FILE, CERT_FILE and KEY_FILE (dvr cert makes them); or listen on loopback (127.0.0.1:%d); or accept that everyone who reaches it controls the routes, with --insecure or INSECURE=true", a.Listen, port)}
	}
	if a.Advertise == "" {
		if isUnspecified(host) {
			return &Error{advertise, "", fmt.Sprintf("%s=%s listens on every address, which nobody can dial: set %s to the address that others use", listen, a.Listen, advertise)}
		}
		a.Advertise = a.Listen
		s.origins[advertise] = OriginDerived
		return nil
	}
	ahost, aport, err := splitHostPort(a.Advertise, min(1, port)) // 0 where the system chooses it
	switch {
	case err != nil:
		return &Error{advertise, s.Origin(advertise), err.Error()}
	case ahost == "":
		return &Error{advertise, s.Origin(advertise), fmt.Sprintf("%q lacks the host that others dial", a.Advertise)}
	case isUnspecified(ahost):
		return &Error{advertise, s.Origin(advertise), fmt.Sprintf("%s is every address and none: nobody can dial it; name the address that others use", a.Advertise)}
	case IsLoopback(host) && !IsLoopback(ahost) && !s.Insecure && s.TLS.None():
		return &Error{advertise, s.Origin(advertise), fmt.Sprintf("%s is told to others while %s listens on loopback only, so it must come through something that forwards: say so with --insecure, or advertise loopback", a.Advertise, a.Listen)}
	}
	a.Advertise = net.JoinHostPort(ahost, strconv.Itoa(aport))
	return nil
}

// checkTLS asks for files that belong together; what is in them nobody has read yet.
func (s *Settings) checkTLS() error {
	if s.TLS.None() {
		return nil
	}
	for _, f := range []struct{ name, value string }{{"CA_FILE", s.TLS.CA}, {"CERT_FILE", s.TLS.Cert}, {"KEY_FILE", s.TLS.Key}} {
		if f.value == "" {
			return &Error{f.name, "", "must be set, too: a node needs CA_FILE, CERT_FILE and KEY_FILE for TLS, or none of them"}
		}
	}
	if s.Insecure {
		return &Error{"INSECURE", s.Origin("INSECURE"), "contradicts CERT_FILE: with certificates every port is in TLS"}
	}
	return nil
}

// checkExternal holds the way to an external etcd to what the node's own ports are
// held to: who reads or changes it there has the log.
func (s *Settings) checkExternal() error {
	if s.EtcdSecure() || s.Insecure || !s.EtcdTLS.None() { // files without https:// are refused elsewhere
		return nil
	}
	for _, e := range s.EtcdEndpoints {
		host, _, err := net.SplitHostPort(e)
		if err != nil || IsLoopback(host) {
			continue // what is no address is said elsewhere
		}
		way := "or accept that everyone on the way to it controls the routes, with --insecure or INSECURE=true"
		if !s.TLS.None() {
			way = "this node's own ports are in TLS already"
		}
		return &Error{"ETCD_ENDPOINTS", s.Origin("ETCD_ENDPOINTS"), fmt.Sprintf("the way to %s would be in clear text beyond this machine: use https:// with ETCD_CA_FILE, ETCD_CERT_FILE and ETCD_KEY_FILE, or a tunnel that ends on loopback; %s", e, way)}
	}
	return nil
}

// complete derives what is unset and checks what belongs together.
func (l *loading) complete() {
	s := l.s
	l.check(func() error {
		if s.DataDir == "" {
			return &Error{"DATA_DIR", s.Origin("DATA_DIR"), "must not be empty"}
		}
		return nil
	}, "DATA_DIR")
	l.check(s.checkTLS, "CA_FILE", "CERT_FILE", "KEY_FILE", "CRL_FILE", "INSECURE")
	l.check(func() error {
		if s.EtcdWritable && len(s.EtcdEndpoints) > 0 && s.Origin("ETCD_WRITABLE") != OriginDefault {
			return &Error{"ETCD_WRITABLE", s.Origin("ETCD_WRITABLE"), "has no meaning with ETCD_ENDPOINTS: an external etcd has its own access rules"}
		}
		return nil
	}, "ETCD_WRITABLE", "ETCD_ENDPOINTS")
	l.check(s.checkExternal, "ETCD_ENDPOINTS", "CA_FILE", "CERT_FILE", "KEY_FILE", "CRL_FILE", "INSECURE")
	l.check(s.checkAdmin, "ADMIN_ADDR")
	// An address that no certificate covers is judged by INSECURE and the files.
	security := []string{"CA_FILE", "CERT_FILE", "KEY_FILE", "CRL_FILE", "INSECURE"}
	raft := append([]string{"RAFT_ADDR", "RAFT_ADVERTISE"}, security...)
	api := append([]string{"API_ADDR", "API_ADVERTISE"}, security...)
	must := func() (string, error) { return "", fmt.Errorf("must not be empty") }
	l.check(func() error { return s.normalize("RAFT", &s.Raft, 1, must) }, raft...)
	l.check(func() error { return s.normalize("API", &s.API, 0, must) }, api...)
	beside := func(of Address, name string, distance int, own string) (string, error) {
		host, port, _ := splitHostPort(of.Listen, 0)
		if port == 0 {
			return net.JoinHostPort(host, "0"), nil
		}
		port += distance
		if port < 1 || port > 65535 {
			return "", fmt.Errorf("would be port %d, derived from %s=%s: set %s", port, name, of.Listen, own)
		}
		return net.JoinHostPort(host, strconv.Itoa(port)), nil
	}
	// What is derived is loopback unless the address it follows is not; its
	// advertised host follows too.
	inherit := func(to *Address, from Address) {
		if to.Listen == "" && to.Advertise == "" {
			h, _, _ := net.SplitHostPort(from.Listen)
			if ah, _, _ := net.SplitHostPort(from.Advertise); ah != h {
				to.Advertise = ah
			}
		}
	}
	fib, client := append([]string{"FIB_ADDR", "FIB_ADVERTISE"}, security...), append([]string{"CLIENT_ADDR", "CLIENT_ADVERTISE"}, security...)
	if s.FIB.Listen == "" {
		fib = append(fib, api...)
	}
	if s.Client.Listen == "" {
		client = append(client, raft...)
	}
	l.check(func() error {
		follows := s.FIB.Listen == ""
		inherit(&s.FIB, s.API)
		return s.derived("FIB", &s.FIB, follows, 0, func() (string, error) { return beside(s.API, "API_ADDR", fibAfterAPI, "FIB_ADDR") })
	}, fib...)
	l.check(func() error {
		follows := s.Client.Listen == ""
		inherit(&s.Client, s.Raft)
		return s.derived("CLIENT", &s.Client, follows, 1, func() (string, error) {
			return beside(s.Raft, "RAFT_ADDR", baseClientPort-baseRaftPort, "CLIENT_ADDR")
		})
	}, client...)
	l.check(func() error {
		if s.OIDC.Issuer != "" && s.OIDC.Audience == "" {
			return &Error{"OIDC_AUDIENCE", s.Origin("OIDC_AUDIENCE"), "is needed with OIDC_ISSUER: without it a JWT for any other service would do"}
		}
		return nil
	}, "OIDC_ISSUER", "OIDC_AUDIENCE")
	addresses := slices.Concat(raft, api, fib, client)
	membership := []string{"ETCD_ENDPOINTS", "INITIAL_CLUSTER", "JOIN", "OBSERVER", "CLUSTER_ID"}
	l.check(s.distinct, append([]string{"ADMIN_ADDR", "ETCD_ENDPOINTS"}, addresses...)...)
	l.check(s.checkMembership, membership...)
	l.check(s.checkRoster, append([]string{"NODE_ID", "INITIAL_CLUSTER"}, raft...)...)
	l.check(s.reachable, slices.Concat(membership, addresses)...)
}

// checkAdmin completes ADMIN_ADDR; it is loopback, whatever else is allowed:
// what is asked there is for who runs the machine.
func (s *Settings) checkAdmin() error {
	if s.Admin == "" {
		return nil
	}
	host, port, err := splitHostPort(s.Admin, 0)
	if err != nil {
		return &Error{"ADMIN_ADDR", s.Origin("ADMIN_ADDR"), err.Error()}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if !IsLoopback(host) {
		return &Error{"ADMIN_ADDR", s.Origin("ADMIN_ADDR"), fmt.Sprintf("%s reaches beyond this machine, where profiles and the level of the logs are for nobody: listen on loopback (127.0.0.1:%d), and come by ssh -L", s.Admin, port)}
	}
	s.Admin = net.JoinHostPort(host, strconv.Itoa(port))
	return nil
}

// derived completes an address that may follow another one: an advertised bare
// host (inherited) gets the derived port.
func (s *Settings) derived(name string, a *Address, follows bool, least int, derive func() (string, error)) error {
	if follows && a.Advertise != "" && s.Origin(name+"_ADVERTISE") == OriginDefault {
		v, err := derive()
		if err != nil {
			return &Error{name + "_ADDR", OriginDerived, err.Error()}
		}
		_, port, _ := net.SplitHostPort(v)
		a.Listen, a.Advertise = v, net.JoinHostPort(a.Advertise, port)
		s.origins[name+"_ADDR"], s.origins[name+"_ADVERTISE"] = OriginDerived, OriginDerived
	}
	return s.normalize(name, a, least, derive)
}

// distinct refuses two listeners on one port, which the system would only
// report for the second one and only by its number.
func (s *Settings) distinct() error {
	seen := map[string]string{}
	list := []struct {
		name string
		a    Address
	}{{"RAFT_ADDR", s.Raft}, {"API_ADDR", s.API}, {"FIB_ADDR", s.FIB}, {"CLIENT_ADDR", s.Client}, {"ADMIN_ADDR", Address{Listen: s.Admin}}}
	for _, l := range list {
		external := len(s.EtcdEndpoints) > 0 && (l.name == "RAFT_ADDR" || l.name == "CLIENT_ADDR")
		_, port, _ := net.SplitHostPort(l.a.Listen)
		if port == "" || port == "0" || external {
			continue
		}
		if other, ok := seen[port]; ok {
			return &Error{l.name, s.Origin(l.name), fmt.Sprintf("port %s is also that of %s: choose another", port, other)}
		}
		seen[port] = l.name
	}
	return nil
}
