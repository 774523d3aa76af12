#!/usr/bin/env bash
# DVC 3.67.1: `dvc exp run` deletes files that it does not know inside output folders, though there is nothing to run.
#
# Guess before the run: where no stage has to run, no file is touched, least of all below an output with `persist:
# true`. `dvc checkout` does not remove a file that is not in its cache without `--force`.
# Seen: `dvc exp run` begins with a forced checkout of all outputs, before it looks whether there is anything to do:
# the user's file is gone, the stage did not run. `dvc checkout` by itself left it there.
# For us: what is generated lies in models/, metrics/ and data/prepared/, where nobody has a reason to put files, and
# the documentation says that what is put there is DVC's to remove.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DVC_NO_ANALYTICS=1 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1 dvc-data==3.18.3 dvc-objects==5.2.0
export PATH="$folder/venv/bin:$PATH"
mkdir "$folder/project"
cd "$folder/project"
git init --quiet
git config user.name someone
git config user.email someone@example.com
dvc init --quiet
echo 'rate: 1' > params.yaml
cat > dvc.yaml << 'YAML'
stages:
  train:
    cmd: echo run >> ../runs; mkdir -p out; cp params.yaml out
    params: [rate]
    outs: [out: {persist: true}]
YAML
dvc repro --quiet
git add --all
git commit --quiet --message 'as committed'
rm ../runs
echo 'of the user' > out/mine.txt
dvc checkout --quiet < /dev/null > ../log 2>&1 || true # refuses: it would ask, if there were a terminal
checkout=$(ls out | tr '\n' ' ')
dvc exp run --quiet > ../log 2>&1 || true
run=$(ls out | tr '\n' ' ')
touch ../runs
runs=$(wc -l < ../runs)
echo "dvc $(dvc --version): out/ after dvc checkout: $checkout; after dvc exp run: $run; runs of the stage: $runs"
[ "$checkout" = 'mine.txt params.yaml ' ] && [ "$run" = 'params.yaml ' ] && [ "$runs" = 0 ]
