package config

// ParseManifest reads a backup.json.
var ParseManifest = parseManifest
