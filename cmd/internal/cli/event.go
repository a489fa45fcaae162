package cli

import (
	"encoding/json"
	"slices"
	"strings"
)

// subjects are the members that name what an event is about, by the first there.
var subjects = [][]string{{"destination"}, {"a", "b", "name"}, {"router"}, {"key"}, {"name"}, {"actor"}, {"epoch"}, {"level"}, {"revision"}, {"id"}}

// subjectsOf are the names of those members that an event has.
func subjectsOf(event any) []string {
	for _, names := range subjects {
		if member(event, names[0]) != nil {
			return names
		}
	}
	return nil
}

// subject is what an event is about; empty: it does not say.
func subject(event any) string {
	names := subjectsOf(event)
	switch {
	case names == nil:
		return ""
	case names[0] == "a":
		return linkName(event)
	}
	return text(member(event, names[0]))
}

// linkName is a link as the API's errors call it: r1-r2, a parallel one r1-r2 (name).
func linkName(l any) string {
	name := text(member(l, "a")) + "-" + text(member(l, "b"))
	if parallel := member(l, "name"); parallel != nil {
		name += " (" + text(parallel) + ")"
	}
	return name
}

// detailed are the kinds whose members say what is set, or seen.
var detailed = []string{"router.set", "link.set", "link.observed", "nexthop.observed", "guard.set", "freeze.set"}

// eventText is what an event did, in the words that a diff has for it.
func eventText(event any) string {
	kind := text(member(event, "kind"))
	switch kind {
	case "route.announced", "route.withdrawn":
		return kind + " " + routeText(text(member(event, "destination")), nil, event)
	}
	line := strings.TrimSpace(kind + " " + subject(event))
	if slices.Contains(detailed, kind) {
		return line + attributesText(event)
	}
	return line + valueText(event)
}

// attributesText lists the members beside those that name what an event is about.
func attributesText(event any) string {
	object, _ := event.(map[string]any)
	var parts []string
	for _, k := range sortedKeys(object) {
		if k != "kind" && !slices.Contains(subjectsOf(event), k) {
			parts = append(parts, k+" "+short(text(object[k])))
		}
	}
	if parts == nil {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// valueText is what a key has; nothing of all else.
func valueText(event any) string {
	v := member(event, "value")
	if v == nil {
		return ""
	}
	return " = " + text(cell(v))
}

// routeText is a route, and of one that changed the members that did.
func routeText(destination string, before, after any) string {
	one := after
	if one == nil {
		one = before
	}
	line := destination
	if hop := hopOf(one); hop != "-" { // all of the destination
		line += " via " + hop
	}
	line += " of "
	if router := member(one, "router"); router != nil {
		line += text(router)
	} else {
		line += "*" // which the log leaves out
	}
	if before != nil && after != nil {
		return line + membersText(before, after)
	}
	if metric := member(one, "metric"); metric != nil {
		line += " metric " + text(metric)
	}
	if p := member(one, "preference"); p != nil && text(p) != "1" {
		line += " preference " + text(p)
	}
	for _, m := range []struct{ key, word string }{{"recursive", "recursive"}, {"via_default", "via default"}} {
		if member(one, m.key) == true {
			line += " " + m.word
		}
	}
	for _, k := range []string{"origin", "tags"} {
		if v := member(one, k); v != nil {
			line += " " + k + " " + text(v)
		}
	}
	return line
}

// itemText is an item, and what of it changed.
func itemText(before, after any) string {
	one := after
	if one == nil {
		one = before
	}
	kind := strings.TrimSuffix(strings.TrimSuffix(text(member(one, "kind")), ".set"), ".put")
	name := subject(one)
	if d := member(one, "deadline"); name == "" && d != nil {
		name = "until " + text(d) // a confirmation has no name
	}
	line := kind + " " + name
	if before != nil && after != nil {
		return line + membersText(before, after)
	}
	return line + valueText(one)
}

// membersText lists the members that differ, but for the revision.
func membersText(before, after any) string {
	x, _ := before.(map[string]any)
	y, _ := after.(map[string]any)
	keys := append(sortedKeys(x), sortedKeys(y)...)
	slices.Sort(keys)
	var parts []string
	for _, k := range slices.Compact(keys) {
		a, _ := json.Marshal(x[k])
		b, _ := json.Marshal(y[k])
		if k != "revision" && string(a) != string(b) {
			parts = append(parts, k+" "+text(x[k])+" → "+text(y[k]))
		}
	}
	if parts == nil {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}
