// Command discover finds targets in Kubernetes as Prometheus does, for a Prometheus that was built without that (Debian's):
// one kubernetes_sd_config as YAML or JSON in, the targets that it finds, as file_sd_configs reads them, out.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"gopkg.in/yaml.v2"
)

// What it takes to have seen all that is there: so long after the last news.
const quiet = 2 * time.Second

func main() {
	found, err := discover()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "discover:", err)
		os.Exit(1)
	}
}

type group struct {
	Targets []string       `json:"targets"`
	Labels  model.LabelSet `json:"labels"`
}

func discover() ([]group, error) {
	given, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, err
	}
	config := kubernetes.DefaultSDConfig
	if err := yaml.UnmarshalStrict(given, &config); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	metrics := config.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
	if err := metrics.Register(); err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	discoverer, err := config.NewDiscoverer(discovery.DiscovererOptions{Logger: logger, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	news := make(chan []*targetgroup.Group)
	go discoverer.Run(ctx, news)
	latest := map[string]*targetgroup.Group{}
	for {
		select {
		case told := <-news:
			for _, item := range told {
				latest[item.Source] = item
			}
		case <-time.After(quiet):
			return flat(latest), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func flat(groups map[string]*targetgroup.Group) []group {
	found := []group{}
	for _, item := range groups {
		for _, target := range item.Targets {
			labels := item.Labels.Merge(target)
			address := string(labels[model.AddressLabel])
			delete(labels, model.AddressLabel)
			found = append(found, group{Targets: []string{address}, Labels: labels})
		}
	}
	return found
}
