package tables

import (
	"net/netip"
	"testing"
)

func TestTablesAreWhole(t *testing.T) {
	v4, err := IPv4()
	if err != nil {
		t.Fatal(err)
	}
	v6, err := IPv6()
	if err != nil {
		t.Fatal(err)
	}
	if len(v4) != 901899 || len(v6) != 160147 {
		t.Fatalf("%d IPv4 and %d IPv6 prefixes, want 901899 and 160147", len(v4), len(v6))
	}
	seen := make(map[netip.Prefix]bool, len(v4)+len(v6))
	for _, o := range append(v4, v6...) {
		if o.Prefix != o.Prefix.Masked() || seen[o.Prefix] {
			t.Fatalf("%v has host bits or occurs twice", o.Prefix)
		}
		seen[o.Prefix] = true
	}
}

func TestChurnIsWhole(t *testing.T) {
	updates, err := Churn()
	if err != nil {
		t.Fatal(err)
	}
	var withdrawn int
	for i, u := range updates {
		if u.Withdraw {
			withdrawn++
		} else if !u.NextHop.IsValid() {
			t.Fatalf("update %d has no next hop", i)
		}
	}
	if len(updates) != 41212 || withdrawn != 1956 {
		t.Fatalf("%d updates, %d withdrawals; want 41212, 1956", len(updates), withdrawn)
	}
}

func TestSpreadIsZipf(t *testing.T) {
	v4, err := IPv4()
	if err != nil {
		t.Fatal(err)
	}
	spread, count := NewSpread(64), make([]int, 64)
	for _, o := range v4 {
		count[spread.Index(o)]++
	}
	// Zipf(1) over 64 gives the first next hop 21 % of the origins; large
	// origins move the prefixes' share, but never to an even spread (1.6 %).
	if share := float64(count[0]) / float64(len(v4)); share < 0.1 || share > 0.4 {
		t.Errorf("the most popular next hop has %.2f of the prefixes", share)
	}
	for i, n := range count {
		if n == 0 {
			t.Errorf("next hop %d is never used", i)
		}
	}
}
