// Package tables holds real Internet routing data for tests, benchmarks and
// demonstrations: a full IPv4 and IPv6 table and five minutes of updates.
// Sources and licences: README.md in this directory.
package tables

import (
	"bufio"
	"bytes"
	_ "embed" // the tables travel in the test and benchmark binaries
	"fmt"
	"hash/fnv"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

//go:embed prefixes4.txt.zst
var prefixes4 []byte

//go:embed prefixes6.txt.zst
var prefixes6 []byte

//go:embed churn.txt.zst
var churn []byte

// Origin is a prefix and the autonomous system that it comes from, 0 where unknown.
type Origin struct {
	Prefix netip.Prefix
	ASN    uint32
}

// Update is one real announcement or withdrawal.
type Update struct {
	At       time.Duration // since the first
	Withdraw bool
	Prefix   netip.Prefix
	Peer     netip.Addr
	NextHop  netip.Addr // of an announcement
}

// IPv4 gives the 901,899 IPv4 prefixes in table order. Cost: 0.3 s, 50 MB.
func IPv4() ([]Origin, error) { return origins(prefixes4) }

// IPv6 gives the 160,147 IPv6 prefixes in table order.
func IPv6() ([]Origin, error) { return origins(prefixes6) }

// Full gives IPv4 and IPv6, in this order.
func Full() ([]Origin, error) {
	v4, err := IPv4()
	if err != nil {
		return nil, err
	}
	v6, err := IPv6()
	if err != nil {
		return nil, err
	}
	return append(v4, v6...), nil
}

// Churn gives the 41,212 updates in the order in which they came.
func Churn() ([]Update, error) {
	var updates []Update
	err := lines(churn, func(fields []string) error {
		if len(fields) < 4 {
			return fmt.Errorf("%d fields", len(fields))
		}
		seconds, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return err
		}
		u := Update{At: time.Duration(seconds * float64(time.Second)), Withdraw: fields[1] == "W"}
		if u.Prefix, err = netip.ParsePrefix(fields[2]); err != nil {
			return err
		}
		u.Prefix = u.Prefix.Masked()
		if u.Peer, err = netip.ParseAddr(fields[3]); err != nil {
			return err
		}
		if !u.Withdraw {
			if u.NextHop, err = netip.ParseAddr(fields[4]); err != nil {
				return err
			}
		}
		updates = append(updates, u)
		return nil
	})
	return updates, err
}

// Spread assigns origins to n next hops as the benchmarks do: a hash of the
// ASN with Zipf(1) popularity; an unknown origin is hashed by its /16 or /32.
type Spread struct{ cumulative []float64 }

// NewSpread is the assignment to n ≥ 1 next hops.
func NewSpread(n int) *Spread {
	s := &Spread{cumulative: make([]float64, n)}
	sum := 0.0
	for i := range s.cumulative {
		sum += 1 / float64(i+1)
		s.cumulative[i] = sum
	}
	return s
}

// Index is the number of o's next hop, 0…n−1.
func (s *Spread) Index(o Origin) int {
	h := fnv.New64a()
	if o.ASN != 0 {
		fmt.Fprintf(h, "as%d", o.ASN)
	} else {
		fmt.Fprint(h, covering(o.Prefix))
	}
	// FNV's high bits mix badly on short input; the multiplication spreads the low ones.
	u := float64(h.Sum64()*0x9e3779b97f4a7c15>>11) / (1 << 53)
	n := len(s.cumulative)
	return min(sort.SearchFloat64s(s.cumulative, u*s.cumulative[n-1]), n-1)
}

// covering is the /16 or /32 that p lies in, or p itself where it is shorter.
func covering(p netip.Prefix) netip.Prefix {
	bits := 16
	if p.Addr().Is6() {
		bits = 32
	}
	return netip.PrefixFrom(p.Addr(), min(bits, p.Bits())).Masked()
}

// NextHop is the address of next hop i in the family of p: 10.255.x.y or fd00::x.
func NextHop(i int, p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return netip.AddrFrom4([4]byte{10, 255, byte(i / 250), byte(i%250 + 1)})
	}
	return netip.AddrFrom16([16]byte{0: 0xfd, 14: byte((i + 1) >> 8), 15: byte(i + 1)})
}

func origins(compressed []byte) ([]Origin, error) {
	table := make([]Origin, 0, 1<<20)
	err := lines(compressed, func(fields []string) error {
		if len(fields) != 2 {
			return fmt.Errorf("%d fields", len(fields))
		}
		p, err := netip.ParsePrefix(fields[0])
		if err != nil {
			return err
		}
		asn, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			return err
		}
		table = append(table, Origin{p, uint32(asn)})
		return nil
	})
	return table, err
}

func lines(compressed []byte, fn func(fields []string) error) error {
	r, err := zstd.NewReader(bytes.NewReader(compressed), zstd.WithDecoderMaxWindow(1<<28))
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	defer r.Close()
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		if err := fn(strings.Fields(scanner.Text())); err != nil {
			return fmt.Errorf("tables: line %d: %w", n, err)
		}
	}
	return scanner.Err()
}
