package gate

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	now := time.Unix(1000, 0)
	var none *Rates[string] = NewRates[string](0, 5, 5)
	for range 100 {
		if none != nil || !none.Take("a", now) || none.Spent("a", now) {
			t.Fatal("no rate bounds nobody")
		}
	}
	r := NewRates[string](10, 20, 3)
	for i := range 30 {
		if spent := r.Spent("a", now); spent != (i >= 20) || r.Take("a", now) == spent {
			t.Fatalf("call %d", i)
		}
	}
	if !r.Take("b", now) {
		t.Error("another one")
	}
	now = now.Add(500 * time.Millisecond)
	for i := range 6 {
		if got := r.Take("a", now); got != (i < 5) {
			t.Errorf("later, call %d: %t", i, got)
		}
	}
	for i := range 1000 { // who comes again and again is not forgotten for those who come once
		r.Take(fmt.Sprint(i), now)
		if r.Take("a", now) {
			t.Fatalf("forgotten after %d others", i)
		}
	}
	if len(r.of) != 3 || r.order.Len() != 3 {
		t.Errorf("%d, %d are kept", len(r.of), r.order.Len())
	}
}

func TestSources(t *testing.T) {
	now := time.Unix(1000, 0)
	var none *Sources = NewSources(0, nil)
	if none != nil || !none.Refuse("192.0.2.1:5", now) || none.Spent("192.0.2.1:5", now) {
		t.Error("no rate bounds nobody")
	}
	s := NewSources(2, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:9::/48")})
	for _, test := range []struct {
		what    string
		remotes []string // in turn
		bound   bool
	}{
		{"an address, any port", []string{"192.0.2.1:1", "192.0.2.1:2", "[::ffff:192.0.2.1]:3"}, true},
		{"a network of IPv6", []string{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::ffff:0:0:9]:1"}, true},
		{"a link-local address with a zone", []string{"[fe80::1%eth0]:1", "[fe80::1%eth1]:1"}, true},
		{"loopback", []string{"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"}, false},
		{"exempt", []string{"198.51.100.7:1", "[::ffff:198.51.100.8]:1", "[2001:db8:9:8::1]:1"}, false},
		{"no address", []string{"pipe", "", "@", "192.0.2.1"}, false},
	} {
		for i := range 12 {
			remote := test.remotes[i%len(test.remotes)]
			spent := s.Spent(remote, now)
			if admitted := s.Refuse(remote, now); admitted == spent || spent != (test.bound && i >= 10) {
				t.Errorf("%s, %s, refusal %d: admitted %t, spent %t", test.what, remote, i, admitted, spent)
			}
		}
	}
	if s.Spent("192.0.2.2:1", now) || s.Spent("[2001:db8:0:1::1]:1", now) {
		t.Error("a neighbour is turned away, too")
	}
	for i := range 3 * sourcesKept {
		s.Refuse(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), now)
	}
	if n := len(s.rates.of); n != sourcesKept {
		t.Errorf("%d sources are kept", n)
	}
}
