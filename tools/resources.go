package tools

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/protocol"
	"hwledger/probe"
)

// hardwareURI names the resource that is this machine's hardware.
const hardwareURI = "hwledger://hardware"

// recently is the stretch of time that the resource's sampled values are of.
const recently = time.Minute

// addResources adds what clients can read and subscribe to.
func (s *Surface) addResources(srv *server.MCPServer, subs *protocol.Subscriptions) {
	if !s.offers("probe_hardware") {
		return
	}
	srv.AddResource(mcp.NewResource(hardwareURI, "hardware",
		mcp.WithResourceTitle("This machine's hardware"),
		mcp.WithResourceDescription("What probe_hardware answers with detail full, and the last minute's samples. "+
			"Subscribers are told when a device, its memory or a source's state changed."),
		mcp.WithMIMEType("application/json"),
	), func(ctx context.Context, _ mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		text, err := s.hardware(ctx)
		if err != nil {
			return nil, err
		}
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: hardwareURI, MIMEType: "application/json", Text: text}}, nil
	})
	subs.Offer(srv, hardwareURI, s.watchHardware)
}

// hardware is the resource's content: a HardwareProbe with every field's
// note. Engines are not asked: that starts a program, and a resource is read
// often.
func (s *Surface) hardware(ctx context.Context) (string, error) {
	inv, err := s.opts.Machine.Now(ctx)
	if err != nil {
		return "", err
	}
	var w *probe.Window
	if recent := s.opts.Machine.Recent(recently); recent.Samples > 1 {
		w = recent
	}
	b, err := json.Marshal(newProbe(inv, w, true))
	return string(b), err
}

// watchHardware calls changed after each material change, until end is
// called.
func (s *Surface) watchHardware(changed func()) (end func()) {
	changes, cancel := s.opts.Machine.Subscribe()
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-changes:
				changed()
			case <-done:
				return
			}
		}
	}()
	return func() {
		cancel()
		close(done)
	}
}
