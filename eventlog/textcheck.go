package eventlog

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// The checks of single values return the reason in words, "" when v is well
// formed; the exported ones wrap it as a *FieldError without Field, for
// callers that take such values from elsewhere than an event.

func checked(reason string) error {
	if reason == "" {
		return nil
	}
	return &FieldError{Reason: reason}
}

// CheckRouterID checks the form of a router's id: [A-Za-z0-9]([A-Za-z0-9._-]{0,62}).
// AllRouters is none.
func CheckRouterID(id RouterID) error { return checked(routerReason(id)) }

// CheckName checks the name of a VRF, origin, guard, freeze, timer, link or role:
// like a router's id, with ":" and "@" allowed inside.
func CheckName(name string) error { return checked(nameReason(name)) }

// CheckInterface checks an interface's name as Linux does.
func CheckInterface(name string) error { return checked(interfaceReason(name)) }

// CheckActor checks an actor: 1 to MaxActor bytes of UTF-8 without control characters.
func CheckActor(actor string) error { return checked(labelReason(actor, MaxActor)) }

// CheckCommitID checks a commit's id: 1 to MaxID printable ASCII bytes.
func CheckCommitID(id string) error { return checked(printableReason(id, MaxID)) }

// CheckTags checks a list of tags, which must be sorted and distinct.
func CheckTags(tags []string) error { return checked(tagsReason(tags)) }

// CheckKey checks a key of the key-value store.
func CheckKey(key string) error { return checked(keyReason(key)) }

// CheckValue checks a value of the key-value store.
func CheckValue(value string) error { return checked(textReason(value, MaxValue)) }

// CheckPrefix checks that p is valid, without host bits and no IPv4-mapped IPv6.
func CheckPrefix(p netip.Prefix) error { return checked(prefixReason(p)) }

// CheckNextHop checks an address that packets can be sent to.
func CheckNextHop(a netip.Addr) error { return checked(nextHopReason(a)) }

const (
	inRouter = 1 << iota // may stand in a router's id
	inName               // may stand in a name
	isAlnum
)

var idClass = func() (t [256]uint8) {
	for c := '0'; c <= 'z'; c++ {
		if c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' {
			t[c] = inRouter | inName | isAlnum
		}
	}
	for _, c := range "._-" {
		t[c] = inRouter | inName
	}
	t[':'], t['@'] = inName, inName
	return t
}()

func identifierReason(s string, class uint8, reason string) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > MaxName:
		return tooLong(MaxName)
	case idClass[s[0]]&isAlnum == 0:
		return "must begin with a letter or digit"
	}
	for i := 1; i < len(s); i++ {
		if idClass[s[i]]&class == 0 {
			return reason
		}
	}
	return ""
}

func routerReason(id RouterID) string {
	if id == AllRouters {
		return `must name one router, "*" is not allowed here`
	}
	return identifierReason(string(id), inRouter, `may hold letters, digits, ".", "_" and "-" only`)
}

// routeRouterReason allows AllRouters too.
func routeRouterReason(id RouterID) string {
	if id == AllRouters {
		return ""
	}
	return routerReason(id)
}

func nameReason(s string) string {
	return identifierReason(s, inName, `may hold letters, digits, ".", "_", "-", ":" and "@" only`)
}

func optionalNameReason(s string) string {
	if s == "" {
		return ""
	}
	return nameReason(s)
}

func interfaceReason(s string) string {
	switch {
	case len(s) > MaxInterface:
		return tooLong(MaxInterface)
	case s == "" || s == "." || s == "..":
		return "is not a name that an interface can have"
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || c == ':' {
			return `may hold printable ASCII without spaces, "/" and ":" only`
		}
	}
	return ""
}

func optionalInterfaceReason(s string) string {
	if s == "" {
		return ""
	}
	return interfaceReason(s)
}

func printableReason(s string, limit int) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > limit:
		return tooLong(limit)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return "may hold printable ASCII only"
		}
	}
	return ""
}

// labelReason is for short texts that people read: no control characters, no
// spaces around.
func labelReason(s string, limit int) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > limit:
		return tooLong(limit)
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }):
		return "must not hold control characters"
	case strings.TrimSpace(s) != s:
		return "must not begin or end with a space"
	}
	return ""
}

func textReason(s string, limit int) string {
	switch {
	case len(s) > limit:
		return tooLong(limit)
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	}
	return ""
}

func keyReason(s string) string {
	if s == "" {
		return "must not be empty"
	}
	return textReason(s, MaxKey)
}

func tagsReason(tags []string) string {
	if len(tags) > MaxTags {
		return tooMany(MaxTags)
	}
	for i, t := range tags {
		if r := labelReason(t, MaxTag); r != "" {
			return "holds a tag that " + r
		}
		if i > 0 && tags[i-1] == t {
			return fmt.Sprintf("holds %q twice", t)
		}
		if i > 0 && tags[i-1] > t {
			return "must be sorted"
		}
	}
	return ""
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// nextHopReason says why packets cannot be sent to a, "" when they can.
func nextHopReason(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "must be an IP address"
	case a.Zone() != "":
		return "must not have a zone; name the interface in its own member"
	case a.Is4In6():
		return reasonMapped
	case a.IsUnspecified():
		return "must not be the unspecified address"
	case a.IsLoopback():
		return "must not be a loopback address"
	case a.IsMulticast():
		return "must not be a multicast address"
	case a == broadcast:
		return "must not be the broadcast address"
	}
	return ""
}

func timeReason(ms int64) string {
	if ms <= 0 || ms > MaxTime {
		return "must be a time between 1970 and the end of 9999"
	}
	return ""
}

func optionalTimeReason(ms int64) string {
	if ms == 0 {
		return ""
	}
	return timeReason(ms)
}
