package eventlog

import (
	"encoding/hex"
	"net/netip"
	"strconv"
)

// The writers of canonical JSON. Each appends to dst and returns it; key is
// the whole text before the value (`,"metric":`), so that a member costs two
// copies. Strings must be valid UTF-8, which Validate sees to.

const hexDigits = "0123456789abcdef"

// appendString appends s quoted with the minimal escapes of the format.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		if c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendMember(dst []byte, key, value string) []byte {
	return appendString(append(dst, key...), value)
}

// appendOptional omits the empty string, the default of most text members.
func appendOptional(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return appendMember(dst, key, value)
}

func appendUint(dst []byte, key string, v uint64) []byte {
	return strconv.AppendUint(append(dst, key...), v, 10)
}

func appendOptionalUint(dst []byte, key string, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return appendUint(dst, key, v)
}

// appendTime appends a point of log time; 0 means none and is omitted by the callers.
func appendTime(dst []byte, key string, ms int64) []byte {
	dst = append(append(dst, key...), '"')
	dst = AppendTime(dst, ms)
	return append(dst, '"')
}

func appendAddr(dst []byte, key string, a netip.Addr) []byte {
	dst = append(append(dst, key...), '"')
	dst = a.AppendTo(dst)
	return append(dst, '"')
}

func appendHex(dst []byte, key string, b []byte) []byte {
	dst = append(append(dst, key...), '"')
	dst = hex.AppendEncode(dst, b)
	return append(dst, '"')
}

// appendStrings omits an empty list.
func appendStrings[S ~string](dst []byte, key string, list []S) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(append(dst, key...), '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, string(s))
	}
	return append(dst, ']')
}

func appendPrefixes(dst []byte, key string, list []netip.Prefix) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(append(dst, key...), '[')
	for i, p := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(p.AppendTo(append(dst, '"')), '"')
	}
	return append(dst, ']')
}

func appendAddrs(dst []byte, key string, list []netip.Addr) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(append(dst, key...), '[')
	for i, a := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(a.AppendTo(append(dst, '"')), '"')
	}
	return append(dst, ']')
}
