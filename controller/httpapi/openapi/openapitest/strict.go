package openapitest

// closeSchemas makes every object of the document refuse members that it does
// not name. The document leaves objects of answers open, since they may get
// further members; a test must notice one that was forgotten.
func closeSchemas(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			switch s, isSchema := inner.(map[string]any); {
			case name == "example" || name == "examples":
			case name == "schemas" || name == "x-event-schemas": // by name
				for _, named := range s {
					closeSchema(named, name == "schemas")
				}
			case isSchema && (name == "schema" || name == "x-line-schema"):
				closeSchema(s, false)
			default:
				closeSchemas(inner)
			}
		}
	case []any:
		for _, inner := range v {
			closeSchemas(inner)
		}
	}
}

// closeSchema closes one. What is part of a composition stays open: what uses
// the whole is closed, and named schemas are parts until they are used.
func closeSchema(v any, part bool) {
	s, ok := v.(map[string]any)
	if !ok {
		return
	}
	for name, inner := range s {
		switch name {
		case "properties":
			for _, p := range inner.(map[string]any) {
				closeSchema(p, false)
			}
		case "items", "additionalProperties":
			closeSchema(inner, false)
		case "allOf", "anyOf", "oneOf":
			for _, p := range inner.([]any) {
				closeSchema(p, true)
			}
		}
	}
	_, says := s["additionalProperties"]
	if !part && !says {
		s["unevaluatedProperties"] = false
	}
}
