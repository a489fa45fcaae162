// Package httpapi serves the HTTP API of docs/decisions/0005-http-api.md on a
// controller/service.Service. echo is imported here and nowhere else; handlers
// are thin: they read strictly, call the service, and write by hand what is hot.
//
// # Reading
//
// JSON is strict: unknown and duplicate members, null, wrong types and trailing
// data are refused naming the member; so are unknown and repeated query
// parameters. Routes and events are decoded by the log's own decoder, so the
// API accepts exactly what the log can hold. Every body is bounded.
//
// # Answering
//
// Errors are application/problem+json with the seed's `error` member; problem.go
// holds the only table from errors to statuses. DVR-Position is in every answer.
// Tables are streamed from an immutable state: a million routes cost the buffer
// that they pass through, and never block a writer.
//
// # Whom it answers
//
// Requests with a Host other than loopback and the configured names are refused
// (DNS rebinding), and so are those that a browser sends for another site.
package httpapi
