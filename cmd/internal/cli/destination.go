package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// destinationArg wants DESTINATION alone.
func destinationArg(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return err
	}
	return checkDestination(args[0])
}

// candidateArgs wants DESTINATION [NEXT_HOP].
func candidateArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.RangeArgs(1, 2)(cmd, args); err != nil {
		if len(args) == 3 {
			if _, number := strconv.ParseUint(args[2], 10, 32); number == nil {
				return fmt.Errorf("%w; a metric is given by a flag: --metric %s", err, args[2])
			}
		}
		return err
	}
	return checkDestination(args[0])
}

// checkDestination explains the usual slips; whatever else is wrong with a
// destination the node tells.
func checkDestination(s string) error {
	if s == "default" {
		return fmt.Errorf("destination %q: a default route is 0.0.0.0/0 or ::/0", s)
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		whole := netip.PrefixFrom(a, a.BitLen())
		if network := networkOf(a); network != whole {
			return fmt.Errorf("destination %q: a prefix needs a length, try %s or %s", s, network, whole)
		}
		return fmt.Errorf("destination %q: a prefix needs a length, try %s", s, whole)
	}
	address, length, _ := strings.Cut(s, "/")
	a, err := netip.ParseAddr(address)
	if err != nil {
		return nil
	}
	if n, err := strconv.ParseUint(length, 10, 32); err == nil && n > uint64(a.BitLen()) {
		return fmt.Errorf("destination %q: the length %d is over %d", s, n, a.BitLen())
	}
	return nil
}

// networkOf is the address without the zeros at its end, by the bytes that are
// written: what was probably meant.
func networkOf(a netip.Addr) netip.Prefix {
	b, step := a.AsSlice(), 1
	if a.Is6() {
		step = 2
	}
	n := len(b)
	for n > 0 && b[n-1] == 0 && b[n-step] == 0 {
		n -= step
	}
	return netip.PrefixFrom(a, n*8)
}
