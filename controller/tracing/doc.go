// Package tracing makes OpenTelemetry traces of changes: from the HTTP call over
// the node that appends and the log to the acknowledgement of each data plane. It is
// the one package that knows OpenTelemetry; a nil *Tracer and a nil *Span are
// tracing that is off, at no cost but a comparison.
//
// A trace passes between processes as W3C traceparent: in the header of the call,
// with the change that is forwarded, and with the question whether it is installed.
// It is not in the log. What happens to a revision is kept for a moment where it
// happens (moments), and becomes spans as soon as it is known there whose trace the
// revision belongs to.
package tracing
