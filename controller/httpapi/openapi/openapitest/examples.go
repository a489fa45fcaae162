package openapitest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// CheckExamples holds every example of the document to the schema beside it,
// and reports how many there are.
func (c *Contract) CheckExamples() (n int, err error) {
	var problems []error
	check := func(at string, v any) {
		n++
		if err := c.validateValue(at, v); err != nil {
			problems = append(problems, fmt.Errorf("the example at %s: %w", at, err))
		}
	}
	var walk func(v any, at string)
	walk = func(v any, at string) {
		switch v := v.(type) {
		case map[string]any:
			if e, ok := v["example"]; ok && v["schema"] != nil {
				check(at+"/schema", e)
			}
			if list, ok := v["examples"].([]any); ok {
				for _, e := range list {
					check(at, e)
				}
			}
			for name, inner := range v {
				if !slices.Contains([]string{"example", "examples"}, name) {
					walk(inner, at+pointer(name))
				}
			}
		case []any:
			for i, inner := range v {
				walk(inner, at+"/"+strconv.Itoa(i))
			}
		}
	}
	walk(c.doc, "")
	return n, errors.Join(problems...)
}
