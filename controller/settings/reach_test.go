package settings

import (
	"errors"
	"strings"
	"testing"
)

// TestReachable: loopback is not told to nodes on other machines.
func TestReachable(t *testing.T) {
	const far, own = "JOIN=127.0.0.1:9091,r2.example:9090 INSECURE=true ", "RAFT_ADDR=192.0.2.1:8300 "
	for _, c := range []struct{ name, env, refused string }{
		{"a member on this machine", "JOIN=127.0.0.1:9091,localhost:9092,[::1]:9093,http://127.8.8.8:1", ""},
		{"none", "", ""},
		{"an etcd elsewhere", "ETCD_ENDPOINTS=db.example:2379 INSECURE=true", ""},
		{"a member elsewhere", far, "RAFT_ADVERTISE"},
		{"the API on loopback", far + own + "FIB_ADDR=192.0.2.1:9190", "API_ADVERTISE"},
		{"all advertised, FIB derived", far + own + "API_ADDR=0.0.0.0:9090 API_ADVERTISE=r1.example:9090", ""},
		{"all advertised behind something that forwards", far + "RAFT_ADVERTISE=r1.example:8300 API_ADVERTISE=r1.example:9090 FIB_ADVERTISE=r1.example:9190 CLIENT_ADVERTISE=r1.example:2379", ""},
		{"addresses of its own", far + own + "API_ADDR=192.0.2.1:9090", ""},
		{"the FIB on loopback", far + own + "API_ADDR=192.0.2.1:9090 FIB_ADDR=:9190", "FIB_ADVERTISE"},
		{"etcd clients on loopback", far + own + "API_ADDR=192.0.2.1:9090 CLIENT_ADDR=:2379", "CLIENT_ADVERTISE"},
	} {
		_, err := load(t, nil, strings.Fields(c.env), "")
		var e *Error
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.refused != "" && (!errors.As(err, &e) || e.Name != c.refused || !strings.Contains(e.Reason, "JOIN=") || !strings.Contains(e.Reason, "loopback")):
			t.Errorf("%s: %v, want %s refused", c.name, err, c.refused)
		}
	}
}

// TestAdvertisedTo: each list of peers names what its nodes dial.
func TestAdvertisedTo(t *testing.T) {
	s, err := load(t, nil, strings.Fields("INSECURE=true API_ADDR=192.0.2.1:9090 RAFT_ADDR=127.0.0.1:8300"), "")
	if err != nil {
		t.Fatal(err)
	}
	near, far := []string{"localhost:8301", ":8302"}, []string{"localhost:8301", "node-2:8302"}
	for _, c := range []struct {
		list    []peers
		refused string
	}{
		{nil, ""},
		{[]peers{{"JOIN", near, []string{"RAFT", "CLIENT"}}}, ""},
		{[]peers{{"JOIN", far, []string{"API", "FIB"}}}, ""},
		{[]peers{{"JOIN", far, []string{"API", "RAFT"}}}, "RAFT_ADVERTISE"},
		{[]peers{{"JOIN", near, []string{"RAFT"}}, {"INITIAL_CLUSTER", far, []string{"CLIENT", "RAFT"}}}, "CLIENT_ADVERTISE"},
	} {
		err := s.advertisedTo(c.list...)
		var e *Error
		if (err == nil) != (c.refused == "") || err != nil && (!errors.As(err, &e) || e.Name != c.refused) {
			t.Errorf("%+v: %v, want %q", c.list, err, c.refused)
		}
	}
}
