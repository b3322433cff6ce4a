# a table of the stages, then the chains from new seeds; the page has both
drmad tune "$ROOT/tests/cli/rally.yaml" -o r -q
drmad report r -o page.html -q
grep -o '<h2[^>]*>Stages' page.html
