# The same commands on a journal.
drmad study create -q 'journal:x.log#a "b"' -d maximize
drmad study create -q journal:x.log#c
drmad study list --store journal:x.log | cut -c 63-
drmad study delete 'journal:x.log#a "b"' --yes
drmad export journal:x.log#c
drmad study best journal:x.log#c
drmad store check journal:x.log
