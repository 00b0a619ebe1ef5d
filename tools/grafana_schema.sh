#!/usr/bin/env bash
# Write tests/grafana/schema/*.json anew: JSON schemas of Grafana's own types, from the
# npm package @grafana/schema (Apache-2.0). Needs node; only for a new version of Grafana.
set -euo pipefail
version=${1:-13.2.3}
out=$(cd "$(dirname "$0")/.." && pwd)/tests/grafana/schema
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --silent "@grafana/schema@$version" ts-json-schema-generator@2 typescript@5

types='@grafana/schema/dist/types/raw'
echo "import type { Dashboard } from '$types/dashboard/x/types.gen'; export interface Part { dashboard: Dashboard }" >dashboard.ts
for panel in timeseries statetimeline stat table; do
    from="$types/composable/$panel/panelcfg/x/types.gen"
    custom=
    ! grep -q FieldConfig "node_modules/$from.d.ts" || custom='custom: P.FieldConfig;'
    echo "import type * as P from '$from'; export interface Part { options: P.Options; $custom }" >"$panel.ts"
done
for name in dashboard timeseries statetimeline stat table; do
    npx ts-json-schema-generator --path "$name.ts" --type Part --no-type-check --jsDoc none --minify -o "$out/$name.json"
done
