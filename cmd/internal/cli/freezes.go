package cli

import "time"

const freezesPath = "/v1/freezes"

// inForce are the freezes, as events, that forbid changes at a time.
func inForce(body any, now time.Time) (out []any) {
	for _, f := range list(body, "freezes") {
		e := member(f, "event")
		from, fromErr := time.Parse(time.RFC3339, text(member(e, "from")))
		until, untilErr := time.Parse(time.RFC3339, text(member(e, "until")))
		if e == nil || fromErr == nil && now.Before(from) || untilErr == nil && !now.Before(until) {
			continue
		}
		out = append(out, e)
	}
	return out
}

// frozenText is what a freeze is about, and until when.
func frozenText(e any) string {
	what := ""
	if p := member(e, "prefixes"); p != nil {
		what = "destinations inside " + text(p)
	}
	if r := member(e, "routers"); r != nil {
		if what != "" {
			what += " of "
		}
		what += "router " + text(r)
	}
	if what == "" {
		what = "every route, router and link"
	}
	if u := member(e, "until"); u != nil {
		return what + ", until " + text(u)
	}
	return what + ", until it is removed"
}
