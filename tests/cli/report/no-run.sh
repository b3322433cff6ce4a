mkdir run
drmad report run -o r.html
