package settings

import (
	"slices"
	"strings"
	"testing"
)

// TestExternalEndpoints: in TLS all of them or none, and its files only there.
func TestExternalEndpoints(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want []string
		bad  string // the setting at fault
		says string
	}{
		{env: []string{"ETCD_ENDPOINTS=a:1, http://b:2", "INSECURE=true"}, want: []string{"a:1", "b:2"}},
		{env: []string{"ETCD_ENDPOINTS=127.0.0.1:1,localhost:2,[::1]:3"}, want: []string{"127.0.0.1:1", "localhost:2", "[::1]:3"}},
		{env: []string{"ETCD_ENDPOINTS=127.0.0.1:1,192.0.2.1:2379"}, bad: "ETCD_ENDPOINTS", says: "192.0.2.1:2379 would be in clear text beyond this machine: use https://"},
		{env: []string{"ETCD_ENDPOINTS=a:1"}, bad: "ETCD_ENDPOINTS", says: "INSECURE=true"},
		{env: []string{"ETCD_ENDPOINTS=a:1", "CA_FILE=ca", "CERT_FILE=c", "KEY_FILE=k"}, bad: "ETCD_ENDPOINTS", says: "in TLS already"},
		{env: []string{"ETCD_ENDPOINTS=https://a:1", "CA_FILE=ca", "CERT_FILE=c", "KEY_FILE=k"}, want: []string{"https://a:1"}},
		{env: []string{"ETCD_ENDPOINTS=https://a:1,https://[::1]:2", "ETCD_CA_FILE=ca", "ETCD_CERT_FILE=c", "ETCD_KEY_FILE=k"}, want: []string{"https://a:1", "https://[::1]:2"}},
		{env: []string{"ETCD_ENDPOINTS=https://a:1"}, want: []string{"https://a:1"}},
		{env: []string{"ETCD_ENDPOINTS=https://a:1,b:2"}, bad: "ETCD_ENDPOINTS", says: "all endpoints"},
		{env: []string{"ETCD_ENDPOINTS=b:2,https://a:1"}, bad: "ETCD_ENDPOINTS", says: "all endpoints"},
		{env: []string{"ETCD_ENDPOINTS=https://:1"}, bad: "ETCD_ENDPOINTS", says: "host"},
		{env: []string{"ETCD_ENDPOINTS=https://a"}, bad: "ETCD_ENDPOINTS"},
		{env: []string{"ETCD_ENDPOINTS=HTTPS://a:1"}, bad: "ETCD_ENDPOINTS"},
		{env: []string{"ETCD_ENDPOINTS=a:1", "ETCD_CA_FILE=ca"}, bad: "ETCD_CA_FILE", says: "https://"},
		{env: []string{"ETCD_KEY_FILE=k", "ETCD_CERT_FILE=c"}, bad: "ETCD_CERT_FILE", says: "https://"},
		{env: []string{"ETCD_ENDPOINTS=https://a:1", "ETCD_CERT_FILE=c"}, bad: "ETCD_CERT_FILE", says: "ETCD_KEY_FILE"},
		{env: []string{"ETCD_ENDPOINTS=https://a:1", "ETCD_KEY_FILE=c"}, bad: "ETCD_CERT_FILE", says: "ETCD_KEY_FILE"},
	} {
		s, err := load(t, nil, c.env, "")
		switch {
		case c.bad != "":
			if err == nil || !strings.HasPrefix(err.Error(), c.bad) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: %v", c.env, err)
			}
		case err != nil || !slices.Equal(s.EtcdEndpoints, c.want) || s.EtcdSecure() != strings.HasPrefix(c.want[0], "https"):
			t.Errorf("%v: %v", c.env, err)
		}
	}
}

// TestStrangerExempt: addresses and prefixes, as they are meant.
func TestStrangerExempt(t *testing.T) {
	s, err := load(t, nil, []string{"STRANGER_EXEMPT=192.0.2.7, 198.51.100.9/24,2001:db8::/32,::1", "STRANGER_LIMIT=0"}, "")
	if err != nil || joined(s.StrangerExempt) != "192.0.2.7/32,198.51.100.0/24,2001:db8::/32,::1/128" || s.StrangerLimit != 0 {
		t.Errorf("%v, %v", s, err)
	}
	for name, v := range map[string][]string{"STRANGER_EXEMPT": {"proxy", "192.0.2.7/33", "fe80::1%eth0", "192.0.2.7;192.0.2.8"}, "STRANGER_LIMIT": {"-1", "x"}} {
		for _, v := range v {
			if _, err := load(t, nil, []string{name + "=" + v}, ""); err == nil || !strings.HasPrefix(err.Error(), name) {
				t.Errorf("%s=%s: %v", name, v, err)
			}
		}
	}
}
