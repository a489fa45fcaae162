package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// generator writes Go source.
type generator struct {
	document
	out     strings.Builder
	pending []pendingType // of members, named after them
}

type pendingType struct {
	name string
	s    *schema
}

func (g *generator) line(format string, args ...any) { fmt.Fprintf(&g.out, format+"\n", args...) }

// initialisms are words that Go writes in capitals.
var initialisms = map[string]string{"id": "ID", "api": "API", "fib": "FIB", "rib": "RIB", "kv": "KV", "ab": "AB", "ba": "BA", "pid": "PID", "ms": "Ms", "json": "JSON", "dvr": "DVR"}

// goName is a name of the document as an exported one.
func goName(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' || r == ' ' }) {
		if s, ok := initialisms[strings.ToLower(word)]; ok {
			b.WriteString(s)
			continue
		}
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// follow is the schema that a reference names.
func (g *generator) follow(s *schema) (*schema, error) {
	for s.Ref != "" {
		next := g.Components.Schemas[refName(s.Ref)]
		if next == nil {
			return nil, fmt.Errorf("%s refers to nothing", s.Ref)
		}
		s = next
	}
	return s, nil
}

// fields are the members of an object, those that it is composed of included.
func (g *generator) fields(s *schema) (list ordered, required []string, err error) {
	for _, part := range s.AllOf {
		part, err := g.follow(part)
		if err != nil {
			return nil, nil, err
		}
		l, r, err := g.fields(part)
		if err != nil {
			return nil, nil, err
		}
		list, required = append(list, l...), append(required, r...)
	}
	return append(list, s.Properties...), append(required, s.Required...), nil
}

// kind is the schema's one type, "null" left aside.
func (s *schema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		var kinds []string
		for _, k := range t {
			if k != "null" {
				kinds = append(kinds, k.(string))
			}
		}
		if len(kinds) == 1 {
			return kinds[0]
		}
	}
	return ""
}

// goType is the Go type of a schema; name is for a struct that must be declared.
func (g *generator) goType(s *schema, name string) (string, error) {
	if s.Ref != "" {
		target, err := g.follow(s)
		if err != nil {
			return "", err
		}
		if target.isObject() {
			return goName(refName(s.Ref)), nil
		}
		return g.goType(target, name)
	}
	switch {
	case len(s.AnyOf) > 0 || len(s.OneOf) > 0:
		return "json.RawMessage", nil
	case s.isObject():
		g.pending = append(g.pending, pendingType{name, s})
		return name, nil
	case s.Const == true:
		return "bool", nil
	case s.Const != nil || len(s.Enum) > 0:
		return "string", nil
	}
	switch s.kind() {
	case "string":
		if s.Format == "date-time" {
			return "time.Time", nil
		}
		return "string", nil
	case "integer":
		return "int64", nil
	case "boolean":
		return "bool", nil
	case "array":
		item, err := g.goType(s.Items, name+"Item")
		return "[]" + item, err
	case "object":
		var value schema
		if len(s.Additional) == 0 || json.Unmarshal(s.Additional, &value) != nil {
			return "json.RawMessage", nil
		}
		v, err := g.goType(&value, name+"Value")
		return "map[string]" + v, err
	case "":
		return "json.RawMessage", nil // several types
	}
	return "", fmt.Errorf("%s: the type %v is not known", name, s.Type)
}

// defaultNumber is what leaving out an integer says.
func (s *schema) defaultNumber() int64 {
	n, _ := s.Default.(float64)
	return int64(n)
}

func (s *schema) isObject() bool { return len(s.Properties) > 0 || len(s.AllOf) > 0 }

// structure declares an object.
func (g *generator) structure(name string, s *schema) error {
	list, required, err := g.fields(s)
	if err != nil {
		return err
	}
	about := strings.TrimSpace(s.Description)
	if about == "" {
		about = "an object of the API"
	}
	g.line("\n// %s is %s", name, strings.TrimSuffix(lowerFirst(about), ".")+".")
	g.line("type %s struct {", name)
	seen := map[string]bool{}
	for _, p := range list {
		if seen[p.name] || name == "Problem" && p.name == "error" { // the same as detail, and the name of a method
			continue
		}
		seen[p.name] = true
		t, err := g.goType(p.schema, name+goName(p.name))
		if err != nil {
			return err
		}
		target, err := g.follow(p.schema)
		if err != nil {
			return err
		}
		tag := p.name
		if !slices.Contains(required, p.name) {
			tag += ",omitempty"
			// Where zero says something and leaving out something else.
			if t == "time.Time" || target.isObject() || target.defaultNumber() != 0 && (target.Minimum == nil || *target.Minimum <= 0) {
				t = "*" + t
			}
		}
		comment := firstLine(p.schema.Description)
		if n := target.defaultNumber(); n != 0 {
			comment = strings.TrimSpace(fmt.Sprintf("%s Left out: %d.", comment, n))
		}
		if comment != "" {
			comment = " // " + comment
		}
		g.line("%s %s `json:%q`%s", goName(p.name), t, tag, comment)
	}
	g.line("}")
	return g.declarePending()
}

// declarePending declares what the members of a type needed.
func (g *generator) declarePending() error {
	list := g.pending
	g.pending = nil
	for _, p := range list {
		if err := g.structure(p.name, p.s); err != nil {
			return err
		}
	}
	return nil
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

func lowerFirst(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if s == "" || len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z' {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
