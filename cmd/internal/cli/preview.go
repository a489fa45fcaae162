package cli

import (
	"fmt"
	"slices"
	"strings"
)

// previewed shows what a change would do: intent, then each router's table, then
// what to think about.
func previewed(t *table, body any) {
	t.line("dry run at revision %s: %s, nothing is stored", text(member(body, "revision")), numbered(count(member(body, "events")), "event"))
	if forced := list(body, "forced"); len(forced) > 0 {
		t.line("passes by force: %s", text(forced))
	}
	intent := member(body, "intent")
	t.line("intent: %s", tally(intent))
	for _, i := range list(intent, "items") {
		t.line("  %s", itemDiff(member(i, "before"), member(i, "after")))
	}
	leftOut(t, intent, "items_left_out")
	var same []string
	for _, r := range list(body, "routers") {
		name := text(member(r, "router"))
		if name == "*" {
			name = "without routers of its own"
		}
		if count(member(r, "added"))+count(member(r, "removed"))+count(member(r, "changed")) == 0 {
			same = append(same, name)
			continue
		}
		t.line("router %s: %s to %s prefixes (%s)", name, grouped(member(r, "prefixes_before")), grouped(member(r, "prefixes")), tally(r))
		for _, e := range list(r, "entries") {
			t.row("  "+sign(e)+" "+text(member(e, "destination")), hopsDiff(e))
		}
		leftOut(t, r, "entries_left_out")
		var all groups
		for _, g := range list(r, "groups") {
			all.add(g)
		}
		for _, g := range all.lines {
			t.row(fmt.Sprintf("  %s %s prefixes", sign(g), grouped(member(g, "prefixes"))), hopsDiff(g)+"   such as "+text(member(g, "examples")))
		}
		leftOut(t, r, "groups_left_out")
	}
	if len(same) > 0 {
		t.line("no change at %s", strings.Join(same, ", "))
	}
	if n := count(member(body, "routers_left_out")); n > 0 {
		t.line("%s were not looked at", numbered(n, "router"))
	}
	for _, w := range list(body, "warnings") {
		t.line("! %s at %s: %s", text(member(w, "kind")), text(member(w, "router")), text(member(w, "text")))
	}
}

func leftOut(t *table, body any, key string) {
	if n := count(member(body, key)); n > 0 {
		t.line("  … and %d more", n)
	}
}

func numbered(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// tally is "2 added, 1 removed", or "nothing".
func tally(body any) string {
	var parts []string
	for _, k := range []string{"added", "changed", "removed"} {
		if n := count(member(body, k)); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	if len(parts) == 0 {
		return "nothing changes"
	}
	return strings.Join(parts, ", ")
}

// sign is + for what comes, - for what goes and ~ for what changes.
func sign(body any) string {
	switch {
	case member(body, "before") == nil:
		return "+"
	case member(body, "after") == nil:
		return "-"
	}
	return "~"
}

func hopsDiff(body any) string {
	before, after := text(member(body, "before")), text(member(body, "after"))
	switch sign(body) {
	case "+":
		return after
	case "-":
		return "was " + before
	}
	return before + " -> " + after
}

// itemDiff is an item of intent that comes, goes or changes: of the last only
// what is other.
func itemDiff(before, after any) string {
	switch {
	case before == nil:
		return "+ " + itemAttributes(after, nil)
	case after == nil:
		return "- " + itemAttributes(before, nil)
	}
	return "~ " + itemName(after) + ": " + itemAttributes(before, after) + " -> " + itemAttributes(after, before)
}

// named are the members that tell an item from another.
var named = map[string][]string{
	"route.announced": {"router", "destination", "type", "next_hop", "interface", "origin"},
	"route.withdrawn": {"router", "destination", "type", "next_hop", "interface", "origin"},
	"router.set":      {"router"},
	"link.set":        {"a", "b", "name"},
	"link.removed":    {"a", "b", "name"},
	"link.observed":   {"a", "b", "name"},
	"key.put":         {"key"},
	"guard.set":       {"name"}, // its actor is whom it is about
	"guard.removed":   {"name"},
}

func namesOf(event any) []string {
	if n, ok := named[text(member(event, "kind"))]; ok {
		return n
	}
	return []string{"name", "actor"}
}

// itemName is "route 10.0.0.0/8 192.0.2.1".
func itemName(event any) string {
	kind, _, _ := strings.Cut(text(member(event, "kind")), ".")
	parts := []string{kind}
	if kind == "link" {
		return kind + " " + linkName(event)
	}
	for _, k := range namesOf(event) {
		if v := member(event, k); v != nil {
			parts = append(parts, text(v))
		}
	}
	return strings.Join(parts, " ")
}

// itemAttributes is an item with its attributes; beside another one only those that
// differ.
func itemAttributes(event, other any) string {
	object, _ := event.(map[string]any)
	keys := sortedKeys(object)
	if o, ok := other.(map[string]any); ok {
		keys = append(keys, sortedKeys(o)...)
		slices.Sort(keys)
		keys = slices.Compact(keys)
	}
	var parts []string
	if other == nil {
		parts = append(parts, itemName(event))
	}
	for _, k := range keys {
		if k == "kind" || slices.Contains(namesOf(event), k) {
			continue
		}
		if k == "events" && other == nil { // of a timer or proposal: what it will do
			parts = append(parts, k+" "+eventNames(object[k]))
		} else if v := text(object[k]); other == nil || v != text(member(other, k)) {
			parts = append(parts, k+" "+short(v))
		}
	}
	return strings.Join(parts, " ")
}

// eventNames are what a timer's events do, such as "route.announced 10.0.0.0/8
// 192.0.2.1": the first three and how many more there are.
func eventNames(events any) string {
	const most = 3
	var names []string
	list, _ := events.([]any)
	for i, e := range list {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(list)-most))
			break
		}
		_, name, _ := strings.Cut(itemName(e), " ")
		names = append(names, strings.TrimSpace(text(member(e, "kind"))+" "+name))
	}
	return strings.Join(names, ", ")
}

// short cuts a value that is too long for a line.
func short(v string) string {
	const most = 60
	if len(v) <= most {
		return v
	}
	return strings.ToValidUTF8(v[:most], "") + "…"
}
