"""Stream processors that count workload W as driftstream does; scripts of their own, run by ingest.py."""
