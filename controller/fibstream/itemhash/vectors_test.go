package itemhash

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestVectors reads the vectors that the projector and the C++ data plane are
// tested with.
func TestVectors(t *testing.T) {
	f, err := os.Open("../../../projector/testdata/digest-vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		w := strings.Split(lines.Text(), " ")
		for i := range w {
			if w[i] == "-" {
				w[i] = ""
			}
		}
		var got Digest
		var want string
		switch w[0] {
		case "murmur":
			got.Lo, got.Hi = Sum(raw(t, w[1]))
			want = w[2]
		case "prefix":
			a, _ := netip.AddrFromSlice(raw(t, w[3]))
			p := netip.PrefixFrom(a, number(t, w[2]))
			got, want = Prefix(p, Class(raw(t, w[4])), w[5]), w[6]
			if b := Bucket(p, w[5]); b != number(t, w[7]) {
				t.Errorf("%s: bucket %d", lines.Text(), b)
			}
		case "group":
			got, want = Group(Class(raw(t, w[1])), hops(t, w[2])), w[4]
		case "add", "sub":
			a, b := digest(t, w[1]), digest(t, w[2])
			if got, want = a.Add(b), w[3]; w[0] == "sub" {
				got = a.Sub(b)
			}
		default:
			continue
		}
		count[w[0]]++
		if hex.EncodeToString(got.Bytes()) != want {
			t.Errorf("%s: got %x", lines.Text(), got.Bytes())
		}
	}
	for _, k := range []string{"murmur", "prefix", "group", "add", "sub"} {
		if count[k] == 0 {
			t.Errorf("no vector of kind %s", k)
		}
	}
}

func raw(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func digest(t *testing.T, s string) (d Digest) {
	t.Helper()
	b := raw(t, s)
	for i := range 8 {
		d.Lo |= uint64(b[i]) << (8 * i)
		d.Hi |= uint64(b[8+i]) << (8 * i)
	}
	return d
}

func hops(t *testing.T, s string) []NextHop {
	t.Helper()
	var list []NextHop
	for _, h := range strings.Split(s, ";") {
		f := strings.Split(h, ",")
		for i := range f {
			if f[i] == "-" {
				f[i] = ""
			}
		}
		n := NextHop{Type: uint8(number(t, f[0])), Weight: uint16(number(t, f[2])), Interface: f[3], Via: f[4]}
		if f[1] != "" {
			n.Address, _ = netip.AddrFromSlice(raw(t, f[1]))
		}
		list = append(list, n)
	}
	return list
}
