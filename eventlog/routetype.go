package eventlog

import "strconv"

var routeTypes = [...]string{"unicast", "blackhole", "unreachable", "prohibit"}

// String is the text form: unicast, blackhole, unreachable or prohibit.
func (t RouteType) String() string {
	if int(t) < len(routeTypes) {
		return routeTypes[t]
	}
	return "RouteType(" + strconv.Itoa(int(t)) + ")"
}

// ParseRouteType reads the text form; false for anything else.
func ParseRouteType(s string) (RouteType, bool) {
	for t, name := range routeTypes {
		if s == name {
			return RouteType(t), true
		}
	}
	return 0, false
}

// Parse sets t from its text form; a *FieldError for "type" otherwise.
func (t *RouteType) Parse(s string) error {
	v, ok := ParseRouteType(s)
	if !ok {
		return &FieldError{Field: "type", Reason: reasonRouteType}
	}
	*t = v
	return nil
}

const reasonRouteType = "must be unicast, blackhole, unreachable or prohibit"
