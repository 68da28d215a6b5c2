"""Runs over many hosts: cells are tasks of Dask distributed, hosts its workers."""
