"""Addresses of the API: `/api/v1/`, its description `/api/schema/`, and a page to read and try it, `/api/docs/`.

Read-only; a session or a token (`Authorization: Token ...`, made by `manage.py drf_create_token USER`) is needed.
"""

from django.contrib.auth.decorators import login_required
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import IsAuthenticated
from rest_framework.routers import DefaultRouter

from results import api as results
from results.review import api as reviews
from trading import api as trading
from trading.api_portfolios import PortfolioViewSet
from trading.api_settings import DeskSettingsViewSet, InstrumentViewSet, StrategyViewSet, VenueViewSet

router = DefaultRouter()
router.include_format_suffixes = False  # there is one format
router.register("portfolios", PortfolioViewSet, basename="portfolio")
router.register("settings", DeskSettingsViewSet, basename="settings")
router.register("venues", VenueViewSet)
router.register("instruments", InstrumentViewSet)
router.register("strategies", StrategyViewSet)
router.register("trades", trading.PaperTradeViewSet)
router.register("leg-outs", trading.LegOutEventViewSet)
router.register("funding-payments", trading.FundingPaymentViewSet)
router.register("fills", trading.OrderFillViewSet)
router.register("shadow-fills", trading.ShadowFillViewSet)
router.register("daily-metrics", trading.DailyMetricsViewSet)
router.register("portfolio-snapshots", trading.PortfolioSnapshotViewSet)
router.register("results", results.TradeResultViewSet)
router.register("result-metrics", results.ResultMetricsViewSet)
router.register("reconciliations", results.TradeReconciliationViewSet)
router.register("reconciliation-breaks", results.TradeReconciliationBreakViewSet)
router.register("dead-letters", results.DeadLetterViewSet)
router.register("review-cases", reviews.ReviewCaseViewSet)
router.register("reviews", reviews.ReviewViewSet)
router.register("review-comments", reviews.ReviewCommentViewSet)
router.register("trade-adjustments", reviews.TradeAdjustmentViewSet)
router.register("tolerances", reviews.ReconciliationToleranceViewSet)
router.register("audit-entries", reviews.AuditEntryViewSet)

schema = SpectacularAPIView.as_view(permission_classes=[IsAuthenticated])
docs = SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="paperdesk/api_docs.html")

urlpatterns = [
    path("v1/", include(router.urls)),
    path("schema/", schema, name="schema"),
    path("docs/", login_required(docs), name="docs"),
]
