"""A data set: its files, its tables, and the clips that networks take.

- catalog, ava_source, ava_download, download_plan, download_record: prepare a data set by its name; download AVA.
- importers, synthetic: data sets from other formats, and small rendered ones.
- layout: where the files of a data set lie.
- validation: check a data set. lint: check a csv. Their parts: check_report, dataset_checks, row_problems,
  video_survey.
- ava_csv, csv_rows, lenient_csv, arrow_csv, parquet_table, row_checks, exclusions, proposals, proposal_pickles: read
  and check tables.
- labels, label_map, label_map_files: the actions.
- keyframe_table: a split as arrays. dataset, assigner, transforms, sequential_reader, samplers, loader: batches of
  clips. proposal_recall: how well proposals cover the people.
"""
