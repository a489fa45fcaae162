package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"dvr/controller/certs"
	"dvr/controller/settings"
)

// port is an address that a node listens on, by its setting.
type port struct{ setting, address string }

// portsOf are those that a node with the settings opens.
func portsOf(s *settings.Settings) []port {
	list := []port{{"API_ADDR", s.API.Listen}, {"FIB_ADDR", s.FIB.Listen}}
	if len(s.EtcdEndpoints) == 0 && !s.Observer {
		list = append(list, port{"RAFT_ADDR", s.Raft.Listen}, port{"CLIENT_ADDR", s.Client.Listen})
	}
	if s.Admin != "" {
		list = append(list, port{"ADMIN_ADDR", s.Admin})
	}
	return list
}

// ports tries to listen. Where the API's port is a node's already, they are its.
func ports(ctx context.Context, s *settings.Settings) []Finding {
	var list []Finding
	running := ""
	for _, p := range portsOf(s) {
		l, err := net.Listen("tcp", p.address)
		if err == nil {
			_ = l.Close()
		} else if p.setting == "API_ADDR" && errors.Is(err, syscall.EADDRINUSE) {
			running = nodeAt(ctx, s.TLS, p.address)
		}
		list = append(list, portState(p, err, running))
	}
	return list
}

// portState judges what became of listening; running names the node that is there.
func portState(p port, err error, running string) Finding {
	f := Finding{Check: "port " + p.setting, Found: p.address + " is free"}
	switch {
	case err == nil:
	case errors.Is(err, syscall.EADDRINUSE) && running != "":
		f.Found = p.address + " is taken by the node that runs here, " + running
	case errors.Is(err, syscall.EADDRINUSE):
		f.Level, f.Found, f.Advice = Fail, p.address+" is in use by another program", "stop it (ss -ltnp says which it is), or set "+p.setting
	case errors.Is(err, syscall.EACCES):
		f.Level, f.Found, f.Advice = Fail, p.address+" may not be opened", "ports below 1024 need CAP_NET_BIND_SERVICE: take a higher one with "+p.setting
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.Level, f.Found, f.Advice = Fail, p.address+" is no address of this machine", "set "+p.setting+" to one that it has (ip address), and what others dial with "+strings.Replace(p.setting, "_ADDR", "_ADVERTISE", 1)
	default:
		f.Level, f.Found, f.Advice = Fail, err.Error(), "set "+p.setting
	}
	return f
}

// nodeAt asks who is at an API address, in TLS with the node's own files; empty:
// no node of ours.
func nodeAt(ctx context.Context, files certs.Files, address string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme, asking := "http", http.DefaultClient
	if !files.None() {
		c, err := certs.Load(files, nil)
		if err != nil {
			return ""
		}
		scheme, asking = c.Scheme(), &http.Client{Transport: &http.Transport{DialTLSContext: c.Dial(2*time.Second, certs.Node), DisableKeepAlives: true}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, number)+"/health", nil)
	if err != nil {
		return ""
	}
	resp, err := asking.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var health struct {
		NodeID string `json:"node_id"`
	}
	_ = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&health) // else it is none of ours
	return health.NodeID
}
