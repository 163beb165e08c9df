select 1 as id, 'anvil' as product
union all
select {{ var("second_id", 2) }} as id, 'rope' as product
