drmad study list --store sqlite:x.db 2>/dev/null || [ -e x.db ] || echo 'no file'
