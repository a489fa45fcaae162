package eventlog

import "net/netip"

const (
	reasonAddress = "must be an IP address in its shortest form such as 192.0.2.1 or 2001:db8::1"
	reasonMapped  = "must not be an IPv4 address written as IPv6"
	reasonPrefix  = "must be a prefix in its shortest form such as 10.1.0.0/16 or 2001:db8::/32"
)

// ParseAddr reads an address in canonical form (RFC 5952; no zone, no
// IPv4-mapped IPv6). The error is a *FieldError without Field.
func ParseAddr(s string) (netip.Addr, error) {
	a, reason := parseAddr([]byte(s))
	if reason != "" {
		return netip.Addr{}, &FieldError{Reason: reason}
	}
	return a, nil
}

// ParsePrefix reads a prefix in canonical form, host bits refused. The error
// is a *FieldError without Field.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, reason := parsePrefix([]byte(s))
	if reason == "" {
		reason = prefixReason(p)
	}
	if reason != "" {
		return netip.Prefix{}, &FieldError{Reason: reason}
	}
	return p, nil
}

// parseAddr4 reads a dotted IPv4 address at the start of t and returns the
// rest; false when there is none.
func parseAddr4(t []byte) (a [4]byte, rest []byte, ok bool) {
	for i := range a {
		if i > 0 {
			if len(t) == 0 || t[0] != '.' {
				return a, nil, false
			}
			t = t[1:]
		}
		var v, n uint
		for n < 3 && n < uint(len(t)) && t[n]-'0' <= 9 {
			v = v*10 + uint(t[n]-'0')
			n++
		}
		if n == 0 || v > 255 || n > 1 && t[0] == '0' {
			return a, nil, false
		}
		a[i] = byte(v)
		t = t[n:]
	}
	return a, t, true
}

func parseAddr(t []byte) (netip.Addr, string) {
	if a, rest, ok := parseAddr4(t); ok && len(rest) == 0 {
		return netip.AddrFrom4(a), ""
	}
	if len(t) > 64 {
		return netip.Addr{}, reasonAddress
	}
	a, err := netip.ParseAddr(string(t))
	if err != nil || a.Is4() {
		return netip.Addr{}, reasonAddress
	}
	if a.Zone() != "" {
		return netip.Addr{}, "must not have a zone; name the interface in its own member"
	}
	if a.Is4In6() {
		return netip.Addr{}, reasonMapped
	}
	var buf [64]byte
	if canonical := a.AppendTo(buf[:0]); string(canonical) != string(t) {
		return netip.Addr{}, "must be written in its shortest form, " + string(canonical)
	}
	return a, ""
}

func parsePrefix(t []byte) (netip.Prefix, string) {
	a4, rest, is4 := parseAddr4(t)
	var a netip.Addr
	if is4 && len(rest) > 0 && rest[0] == '/' {
		a, t = netip.AddrFrom4(a4), rest[1:]
	} else {
		slash := -1
		for i, c := range t {
			if c == '/' {
				slash = i
			}
		}
		if slash < 0 {
			return netip.Prefix{}, reasonPrefix
		}
		var reason string
		if a, reason = parseAddr(t[:slash]); reason != "" {
			if reason == reasonAddress {
				reason = reasonPrefix
			}
			return netip.Prefix{}, reason
		}
		t = t[slash+1:]
	}
	bits := 0
	for _, c := range t {
		if c-'0' > 9 || bits > 128 {
			return netip.Prefix{}, reasonPrefix
		}
		bits = bits*10 + int(c-'0')
	}
	if len(t) == 0 || len(t) > 1 && t[0] == '0' || bits > a.BitLen() {
		return netip.Prefix{}, reasonPrefix
	}
	return netip.PrefixFrom(a, bits), ""
}

// prefixReason says why p is not a canonical prefix, "" when it is one.
func prefixReason(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return reasonPrefix
	case p.Addr().Is4In6():
		return reasonMapped
	case hostBits(p):
		return "has host bits set; the prefix is " + p.Masked().String()
	}
	return ""
}

func hostBits(p netip.Prefix) bool {
	a, n := p.Addr(), p.Bits()
	if a.Is4() {
		b := a.As4()
		v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		return v<<n != 0 // a shift by 32 gives 0
	}
	return p.Masked() != p
}
