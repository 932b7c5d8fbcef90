"""What `make check` looks at: style, types, layers, generated files, the chart."""
