"""The tags of Dagster that ``pipelines.run_tags`` uses mean what it assumes."""

# No postponed annotations in this file: Dagster compares the annotation of `context` with the class.

import dagster as dg
import pytest

from pipelines.run_tags import HIGH_PRIORITY, last_partition, partition_range_tags, will_retry

DAYS = dg.StaticPartitionsDefinition(["1", "2", "3"])


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def daily(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"keys": list(context.partition_keys)})


JOB = dg.Definitions(assets=[daily], jobs=[dg.define_asset_job("daily_job", selection="daily")])


@pytest.mark.filterwarnings("ignore:Parameter `backfill_policy`")
def test_range_tags_make_one_run_over_all_partitions() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = JOB.resolve_job_def("daily_job").execute_in_process(
            instance=instance, tags=partition_range_tags("1", "3")
        )
        assert result.success, "dagster: the tags of partition ranges changed"
        assert instance.get_materialized_partitions(daily.key) == {"1", "2", "3"}
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert last_partition(run) == "3"


def test_the_last_partition_of_a_run_of_one_partition_is_that_one() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = JOB.resolve_job_def("daily_job").execute_in_process(instance=instance, partition_key="2")
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert last_partition(run) == "2", "dagster: the tag of the partition changed"


def test_a_run_without_partitions_has_no_last_partition() -> None:
    assert last_partition(dg.DagsterRun(job_name="job")) is None


def test_the_other_tags_are_those_of_dagster() -> None:
    assert HIGH_PRIORITY == {"dagster/priority": "1"}, "dagster: the tag of the run queue changed"
    assert will_retry(dg.DagsterRun(job_name="job", tags={"dagster/will_retry": "true"}))
    assert not will_retry(dg.DagsterRun(job_name="job", tags={"dagster/will_retry": "false"}))
